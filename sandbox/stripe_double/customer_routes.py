"""Reading customers."""

from sandbox.stripe_double.calls import Call, answer_one, answer_page, find_page
from sandbox.stripe_double.customer_body import customer_body, deleted_customer_body
from sandbox.stripe_double.listing import read_query
from sandbox.stripe_double.refusals import missing
from sandbox.stripe_double.shelf import Sketch
from sandbox.stripe_double.states import Customer
from sandbox.stripe_double.wire import Answer


def retrieve_customer(call: Call) -> Answer:
    with call.realm.lock:
        state = call.realm.customers.find(call.name)
    if state is None:
        raise missing("customer", call.name)
    return answer_one(deleted_customer_body(state) if state.deleted else customer_body(state), call)


def list_customers(call: Call) -> Answer:
    query = read_query(call.request, fractions=call.realm.switches.fractions)
    email = call.request.value("email")
    test_clock = call.request.value("test_clock")

    def wanted(state: Customer | Sketch[Customer]) -> bool:
        if state.deleted or state.test_clock != test_clock:
            return False
        return email is None or state.email == email

    goes_on = call.realm.switches.deleted_cursor == "goes_on"

    def is_cursor(state: Customer | Sketch[Customer]) -> bool:
        return goes_on or not state.deleted

    with call.realm.lock:
        page = find_page(call.realm.customers, query, wanted, "customer", call, is_cursor=is_cursor)
    return answer_page(page, call)
