"""The chaos run: the real processes on loopback, under fire, and a judge who knows the truth.

    python -m sandbox.chaos --seed 1 --events 100000 --subscriptions 5000

`plan` says how much of what; `stripe_side` is the process in which Stripe lives (`life`) and sends
its events (`postman`); `database` and `product_side` are what is attacked, `crash_points` and
`faults` attack it; `storm` puts them together; `judge` compares what came of it with the truth.
"""
