// In which dialect the key of a topic binding is read.

/**
 * How a topic binding's key is read. `amqp`: words between dots, `*` one word, `#` zero or more. `mqtt`: an MQTT topic
 * filter with `/` and `.` swapped, `+` one word, `#` (last) zero or more, `*` literal, and a leading wildcard does not
 * match a topic that starts with `$` [MQTT-4.7.2-1].
 */
export const DIALECTS = ['amqp', 'mqtt'] as const;

export type Dialect = (typeof DIALECTS)[number];
