// How a client says who it is (AMQP 0-9-1 §2.2.4): the two SASL mechanisms that carry a user name and a password.

import { findField, textOf } from '../../src/core/field-table.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { decodeTable } from './field-table-codec.ts';

/** Offered in connection.start, best first. */
export const MECHANISMS = 'PLAIN AMQPLAIN';

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Throws COMMAND_INVALID for a mechanism that was not offered, SYNTAX_ERROR for a response that it does not know. */
export function readLogin(mechanism: string, response: Buffer): Login {
  switch (mechanism) {
    case 'PLAIN':
      return readPlain(response);
    case 'AMQPLAIN':
      return readAmqplain(response);
    default:
      throw new AmqpError(REPLY.commandInvalid, `unknown authentication mechanism '${mechanism}'`);
  }
}

/** RFC 4616: message = [authzid] NUL authcid NUL passwd */
function readPlain(response: Buffer): Login {
  const user = response.indexOf(0) + 1;
  const password = user === 0 ? 0 : response.indexOf(0, user) + 1;
  if (password === 0 || response.indexOf(0, password) >= 0) throw invalid('PLAIN');
  return {
    user: response.toString('utf8', user, password - 1),
    password: response.toString('utf8', password),
  };
}

/** The fields LOGIN and PASSWORD of a table without its length. */
function readAmqplain(response: Buffer): Login {
  const table = decodeTable(response, 0, response.length);
  const user = textOf(findField(table, 'LOGIN'));
  const password = textOf(findField(table, 'PASSWORD'));
  if (user === null || password === null) throw invalid('AMQPLAIN');
  return { user, password };
}

function invalid(mechanism: string): AmqpError {
  return new AmqpError(REPLY.syntaxError, `invalid response for authentication mechanism ${mechanism}`);
}
