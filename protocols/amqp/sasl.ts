// The SASL mechanisms (AMQP 0-9-1 §2.2.4): two that carry a user name and a password, and EXTERNAL, for clients whose
// TLS certificate names the user.

import { findField, textOf } from '../../src/core/message/field-table.ts';
import { AmqpError, REPLY } from './amqp-error.ts';
import { decodeTable } from './field-table-codec.ts';

export const MECHANISM = { plain: 'PLAIN', amqplain: 'AMQPLAIN', external: 'EXTERNAL' } as const;

/** The mechanisms for connection.start, best first; EXTERNAL only for clients with a certificate that names a user. */
export function mechanismsFor(certificateUser: string | null): string {
  const { plain, amqplain, external } = MECHANISM;
  return certificateUser === null ? `${plain} ${amqplain}` : `${external} ${plain} ${amqplain}`;
}

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Throws COMMAND_INVALID for a mechanism that was not offered, SYNTAX_ERROR for a malformed response. */
export function readLogin(mechanism: string, response: Buffer): Login {
  switch (mechanism) {
    case MECHANISM.plain:
      return readPlain(response);
    case MECHANISM.amqplain:
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
