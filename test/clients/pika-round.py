"""One round of what pika's users do, against the broker whose port is given. Prints `done`, or fails."""

import sys
import pika
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError, UnroutableError

port = int(sys.argv[1])
parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=30)
connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.confirm_delivery()

channel.exchange_declare("pika", exchange_type="topic", durable=True)
channel.queue_declare("pika", durable=True)
channel.queue_bind("pika", "pika", routing_key="a.#")

headers = {"text": "grüße", "int": -5, "large": 2**40, "list": [1, "two", None], "nested": {"yes": True}}
properties = pika.BasicProperties(
    content_type="text/plain", delivery_mode=2, headers=headers, message_id="m", timestamp=1700000000
)
for i in range(5):
    channel.basic_publish("pika", "a.b", str(i), properties, mandatory=True)

try:
    channel.basic_publish("pika", "nobody", "lost", mandatory=True)
    raise SystemExit("an unroutable message was not returned")
except UnroutableError:
    pass

channel.basic_qos(prefetch_count=2)
bodies = []
for method, received, body in channel.consume("pika", inactivity_timeout=10):
    assert received.headers == headers, received.headers
    assert received.message_id == "m" and received.timestamp == 1700000000
    bodies.append(body.decode())
    if len(bodies) == 1:
        channel.basic_nack(method.delivery_tag, requeue=True)
    else:
        channel.basic_ack(method.delivery_tag)
    if len(bodies) == 6:
        break
channel.cancel()
assert sorted(bodies) == ["0", "0", "1", "2", "3", "4"], bodies

method, _, _ = channel.basic_get("pika", auto_ack=True)
assert method is None

try:
    channel.queue_declare("pika", durable=False)
    raise SystemExit("an inequivalent declaration was accepted")
except ChannelClosedByBroker as error:
    assert error.reply_code == 406, error
    assert error.reply_text == (
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'pika' in vhost '/': "
        "received 'false' but current is 'true'"
    ), error

channel = connection.channel()
channel.queue_delete("pika")
channel.exchange_delete("pika")
connection.close()

wrong = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials("guest", "wrong"))
try:
    pika.BlockingConnection(wrong)
    raise SystemExit("a wrong password was accepted")
except ProbableAuthenticationError:
    pass

print("done")
