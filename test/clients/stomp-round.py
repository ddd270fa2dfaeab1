# stomp.py against a broker: python3 stomp-round.py PORT VERSION. Run by stomp.test.ts; says "passed" or why not.

import queue
import sys

import stomp

port, version = int(sys.argv[1]), sys.argv[2]
Connection = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[version]


class Inbox(stomp.ConnectionListener):
    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)


def equal(actual, expected):
    if actual != expected:
        raise SystemExit(f"{actual!r} is not {expected!r}")


def connect(password="guest"):
    connection = Connection([("127.0.0.1", port)], auto_content_length=True)
    inbox = Inbox()
    connection.set_listener("inbox", inbox)
    connection.connect("guest", password, wait=password == "guest")
    return connection, inbox


def acknowledge(connection, frame):
    if version == "1.2":
        connection.ack(frame.headers["ack"])
    elif version == "1.1":
        connection.ack(frame.headers["message-id"], "s")
    else:
        connection.ack(frame.headers["message-id"])


def subscribe(connection, destination, id="s", **options):
    if version == "1.0":
        connection.subscribe(destination, **options)
    else:
        connection.subscribe(destination, id=id, **options)


def unsubscribe(connection, destination, id="s", **options):
    if version == "1.0":
        connection.unsubscribe(destination, **options)
    else:
        connection.unsubscribe(id, **options)


def refuse(connection, frame, **options):
    if version == "1.2":
        connection.nack(frame.headers["ack"], **options)
    else:
        connection.nack(frame.headers["message-id"], "s", **options)


def next_message(inbox):
    return inbox.messages.get(timeout=20)


def send_and_acknowledge():
    name = "/queue/python" + version
    connection, inbox = connect()
    subscribe(connection, name, ack="client-individual")
    connection.send(name, "grüße", content_type="text/plain", headers={"x-own": "ü", "receipt": "r1"})
    equal(inbox.receipts.get(timeout=20), "r1")
    first = next_message(inbox)
    equal(first.body, "grüße")
    equal(first.headers["x-own"], "ü")
    equal(first.headers["destination"], name)
    acknowledge(connection, first)
    unsubscribe(connection, name)
    connection.disconnect(receipt="bye")
    equal(inbox.receipts.get(timeout=20), "bye")


def commit_and_abort():
    name = "/queue/python-tx" + version
    connection, inbox = connect()
    subscribe(connection, name, ack="auto")
    transaction = connection.begin()
    connection.send(name, "never", transaction=transaction)
    connection.abort(transaction)
    transaction = connection.begin()
    connection.send(name, "1", transaction=transaction)
    connection.send(name, "2", transaction=transaction)
    connection.commit(transaction)
    equal([next_message(inbox).body, next_message(inbox).body], ["1", "2"])
    connection.disconnect()


def what_is_not_acknowledged_comes_back():
    name = "/queue/python-back" + version
    connection, inbox = connect()
    for body in ["1", "2", "3"]:
        connection.send(name, body, persistent="true")
    subscribe(connection, name, ack="client")
    messages = [next_message(inbox) for _ in range(3)]
    # Cumulative: the first, too.
    acknowledge(connection, messages[1])
    connection.disconnect(receipt="bye")
    equal(inbox.receipts.get(timeout=20), "bye")
    connection, inbox = connect()
    subscribe(connection, name, ack="client")
    again = next_message(inbox)
    equal([again.body, again.headers["redelivered"], again.headers["persistent"]], ["3", "true", "true"])
    if version != "1.0":
        refuse(connection, again)
        again = next_message(inbox)
        equal(again.body, "3")
        refuse(connection, again, requeue="false")
        connection.send(name, "4")
        equal(next_message(inbox).body, "4")
    connection.disconnect()


def durable_subscription():
    topic, options = "/topic/python" + version, {"durable": "true", "auto-delete": "false"}
    connection, inbox = connect()
    # An id also in 1.0, where it is optional: it names the subscription.
    connection.subscribe(topic, id="kept", ack="auto", headers={**options, "receipt": "subscribed"})
    equal(inbox.receipts.get(timeout=20), "subscribed")
    connection.disconnect(receipt="bye")
    equal(inbox.receipts.get(timeout=20), "bye")
    publisher, published = connect()
    publisher.send(topic, "while away", headers={"receipt": "sent", "persistent": "true"})
    equal(published.receipts.get(timeout=20), "sent")
    publisher.disconnect()
    connection, inbox = connect()
    connection.subscribe(topic, id="kept", ack="auto", headers=options)
    equal(next_message(inbox).body, "while away")
    connection.unsubscribe(id="kept", headers={"durable": "true", "receipt": "ended"})
    equal(inbox.receipts.get(timeout=20), "ended")
    connection.disconnect()


def request_and_reply():
    name = "/queue/python-service" + version
    service, requests = connect()
    subscribe(service, name, ack="auto")
    connection, inbox = connect()
    connection.send(name, "question", headers={"reply-to": "/temp-queue/answers", "correlation-id": "1"})
    request = next_message(requests)
    service.send(request.headers["reply-to"], "answer", headers={"correlation-id": request.headers["correlation-id"]})
    reply = next_message(inbox)
    equal([reply.body, reply.headers["correlation-id"]], ["answer", "1"])
    service.disconnect()
    connection.disconnect()


def refused():
    stranger, inbox = connect("wrong")
    equal(inbox.errors.get(timeout=20).headers["message"], "Bad CONNECT")
    connection, inbox = connect()
    connection.send("/nowhere/q", "x", headers={"receipt": "r"})
    error = inbox.errors.get(timeout=20)
    equal([error.headers["message"], error.headers["receipt-id"]], ["Unknown destination", "r"])


for check in [
    send_and_acknowledge,
    commit_and_abort,
    what_is_not_acknowledged_comes_back,
    durable_subscription,
    request_and_reply,
    refused,
]:
    check()
print("passed")
