// What programs in C do with librabbitmq, against the broker whose port is given: a call over direct reply-to, a
// transaction, an error. Prints `done`, or what went wrong.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

static void check(int ok, const char *what) {
  if (ok) return;
  printf("%s failed\n", what);
  exit(1);
}

static void check_reply(amqp_connection_state_t connection, const char *what) {
  check(amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL, what);
}

static amqp_envelope_t consume(amqp_connection_state_t connection) {
  amqp_envelope_t envelope;
  amqp_maybe_release_buffers(connection);
  check(amqp_consume_message(connection, &envelope, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL, "consuming");
  return envelope;
}

int main(int count, char **arguments) {
  check(count == 2, "reading the port");
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  check(amqp_socket_open(socket, "127.0.0.1", atoi(arguments[1])) == 0, "connecting");
  check(amqp_login(connection, "/", 0, 131072, 30, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
            AMQP_RESPONSE_NORMAL,
        "logging in");
  amqp_channel_open(connection, 1);
  check_reply(connection, "opening a channel");

  amqp_bytes_t queue = amqp_cstring_bytes("librabbitmq");
  amqp_bytes_t replies = amqp_cstring_bytes("amq.rabbitmq.reply-to");
  amqp_queue_declare(connection, 1, queue, 0, 0, 1, 0, amqp_empty_table);
  check_reply(connection, "declaring");
  amqp_basic_consume(connection, 1, queue, amqp_cstring_bytes("service"), 0, 1, 0, amqp_empty_table);
  check_reply(connection, "consuming as a service");
  amqp_basic_consume(connection, 1, replies, amqp_cstring_bytes("replies"), 0, 1, 0, amqp_empty_table);
  check_reply(connection, "consuming replies");

  amqp_basic_properties_t request;
  memset(&request, 0, sizeof request);
  request._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG;
  request.reply_to = replies;
  request.correlation_id = amqp_cstring_bytes("7");
  check(amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, &request, amqp_cstring_bytes("ping")) == 0,
        "asking");
  amqp_envelope_t asked = consume(connection);
  amqp_basic_properties_t answer;
  memset(&answer, 0, sizeof answer);
  answer._flags = AMQP_BASIC_CORRELATION_ID_FLAG;
  answer.correlation_id = asked.message.properties.correlation_id;
  check(amqp_basic_publish(connection, 1, amqp_empty_bytes, asked.message.properties.reply_to, 0, 0, &answer,
                           amqp_cstring_bytes("pong")) == 0,
        "answering");
  amqp_destroy_envelope(&asked);
  amqp_envelope_t answered = consume(connection);
  check(answered.message.body.len == 4 && memcmp(answered.message.body.bytes, "pong", 4) == 0, "the answer");
  check(answered.consumer_tag.len == 7 && memcmp(answered.consumer_tag.bytes, "replies", 7) == 0, "its consumer");
  amqp_destroy_envelope(&answered);

  amqp_tx_select(connection, 1);
  check_reply(connection, "tx.select");
  for (int i = 0; i < 3; i++) {
    amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, NULL, amqp_cstring_bytes("lost"));
  }
  amqp_tx_rollback(connection, 1);
  check_reply(connection, "tx.rollback");
  amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, NULL, amqp_cstring_bytes("kept"));
  amqp_tx_commit(connection, 1);
  check_reply(connection, "tx.commit");
  amqp_envelope_t kept = consume(connection);
  check(kept.message.body.len == 4 && memcmp(kept.message.body.bytes, "kept", 4) == 0, "what was committed");
  amqp_destroy_envelope(&kept);

  amqp_queue_declare(connection, 1, amqp_cstring_bytes("nobody"), 1, 0, 0, 0, amqp_empty_table);
  amqp_rpc_reply_t refused = amqp_get_rpc_reply(connection);
  check(refused.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && refused.reply.id == AMQP_CHANNEL_CLOSE_METHOD,
        "being refused");
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
  printf("done\n");
  return 0;
}
