-- How every statement of ours reads a time, said once. The planner puts what a function says in the
-- place of its call, so it costs nothing; and what reads like a sentence can be reviewed.

CREATE FUNCTION stripe.is_whole(moment timestamptz) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    -- Exact, and cheaper than date_trunc. CASE, because an infinity is no bigint.
    RETURN CASE
        WHEN isfinite(moment) THEN moment = to_timestamp(date_part('epoch', moment)::bigint)
        ELSE false
    END;
COMMENT ON FUNCTION stripe.is_whole(timestamptz) IS
    'Whether a time is finite and of whole seconds, as all of Stripe''s are.';

CREATE FUNCTION stripe.seconds(moment timestamptz) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN stripe.is_whole(moment) THEN to_jsonb(date_part('epoch', moment)::bigint)
        WHEN moment = 'infinity' THEN to_jsonb(9223372036854775807)
        WHEN moment = '-infinity' THEN to_jsonb((-9223372036854775808)::bigint)
        ELSE to_jsonb(trim_scale(extract(epoch FROM moment))::text)
    END;
COMMENT ON FUNCTION stripe.seconds(timestamptz) IS
    'A time in epoch seconds. What Stripe cannot have said equals nothing that it can say: a time with a fraction is text, an infinite one the largest or smallest number.';

-- They tell nothing of what is in the tables, and every role's statements call them.
GRANT EXECUTE ON FUNCTION stripe.is_whole(timestamptz), stripe.seconds(timestamptz) TO PUBLIC;
