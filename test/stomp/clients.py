# stomp.py against a broker: python3 clients.py PORT VERSION. Run by clients.test.ts; says "passed" or why not.

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


name = "/queue/python" + version
connection, inbox = connect()
if version == "1.0":
    connection.subscribe(name, ack="client-individual")
else:
    connection.subscribe(name, id="s", ack="client-individual")
connection.send(name, "grüße", content_type="text/plain", headers={"x-own": "ü", "receipt": "r1"})
equal(inbox.receipts.get(timeout=20), "r1")
first = inbox.messages.get(timeout=20)
equal(first.body, "grüße")
equal(first.headers["x-own"], "ü")
equal(first.headers["destination"], name)
acknowledge(connection, first)

transaction = connection.begin()
connection.send(name, "2", transaction=transaction)
connection.commit(transaction)
second = inbox.messages.get(timeout=20)
equal(second.body, "2")
acknowledge(connection, second)
if version == "1.0":
    connection.unsubscribe(name)
else:
    connection.unsubscribe("s")
connection.disconnect(receipt="bye")
equal(inbox.receipts.get(timeout=20), "bye")

stranger, refused = connect("wrong")
equal(refused.errors.get(timeout=20).headers["message"], "Bad CONNECT")
print("passed")
