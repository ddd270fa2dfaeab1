// Every key of the configuration with its three names: in YAML (`amqp.tlsPort`), as a flag (`--amqp-tls-port`) and as a
// variable (`TRIVIUM_AMQP_TLS_PORT`). The keys themselves are defined in schema.ts; this file derives their names.

import type { Leaf } from './leaf.ts';
import { ConfigSchema } from './schema.ts';

export interface Key {
  /** `amqp.tlsPort`; a key without a section has no dot. */
  readonly path: string;
  readonly section: string | null;
  readonly name: string;
  /** Without the leading dashes. */
  readonly flag: string;
  readonly variable: string;
  readonly leaf: Leaf;
}

export interface Section {
  readonly name: string | null;
  readonly title: string;
  readonly keys: readonly Key[];
}

interface Node extends Leaf {
  readonly properties?: Readonly<Record<string, Node>>;
}

/** The schema is plain data; its TypeBox types are more detailed than needed here. */
const PROPERTIES = ConfigSchema.properties as unknown as Readonly<Record<string, Node>>;

/** All sections in the order of the schema; keys without a section come first. */
export const SECTIONS: readonly Section[] = sections();
export const KEYS: readonly Key[] = SECTIONS.flatMap((section) => section.keys);

function sections(): Section[] {
  const top: Key[] = [];
  const result: Section[] = [{ name: null, title: 'General', keys: top }];
  for (const [name, node] of Object.entries(PROPERTIES)) {
    if (node.properties === undefined) top.push(key(null, name, node));
    else {
      const keys = Object.entries(node.properties).map(([inner, leaf]) => key(name, inner, leaf));
      result.push({ name, title: node.description!, keys });
    }
  }
  return result;
}

function key(section: string | null, name: string, leaf: Leaf): Key {
  const path = section === null ? name : `${section}.${name}`;
  const flag = path.replace('.', '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return { path, section, name, flag, variable: `TRIVIUM_${flag.toUpperCase().replaceAll('-', '_')}`, leaf };
}
