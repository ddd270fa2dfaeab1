// Checks requests and serialises responses for Fastify with TypeBox, the product's one schema system, which loads with
// the first request of the API. Compiling every route's schemas with Ajv and fast-json-stringify, Fastify's default,
// cost 70 ms of each start.

import type { FastifyInstance, FastifySchemaCompiler, FastifyServerOptions } from 'fastify';
import type { TSchema } from 'typebox';
import type { Value } from 'typebox/value';

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>;

/** For Fastify's `schemaController`. The routes' types shape the responses; tests compare them with their schemas. */
export class LazyValidation {
  private value: typeof Value | null;

  constructor() {
    this.value = null;
  }

  /** A cast, because Fastify's types of this option know only Ajv's compilers. */
  readonly schemaController = {
    compilersFactory: {
      buildValidator: () => this.compile,
      buildSerializer: () => () => (answer: unknown) => JSON.stringify(answer),
    },
  } as unknown as SchemaController;

  /** Loads the checker before the routes that need it. */
  loadBefore(api: FastifyInstance): void {
    api.addHook('onRequest', async () => {
      this.value ??= (await import('typebox/value')).Value;
    });
  }

  /** Converts text of paths and queries to the schema's types, or reports where it does not match. */
  private readonly compile: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
    return (given: unknown) => {
      const { value: checker } = this;
      if (checker === null) throw new Error('a route with a schema does not load its validation');
      const value = checker.Convert(schema, { ...(given as object) });
      if (checker.Check(schema, value)) return { value };
      const unknown = unknownName(schema, given as object);
      if (unknown !== null) return { error: new Error(`unknown parameter '${unknown}'`) };
      const [problem] = checker.Errors(schema, value);
      return { error: new Error(`${httpPart}${problem?.instancePath ?? ''} ${problem?.message ?? 'is not valid'}`) };
    };
  };
}

/** A name that an object schema does not have and does not allow, or null. */
function unknownName(schema: TSchema, given: object): string | null {
  const { properties, additionalProperties } = schema as { properties?: object; additionalProperties?: boolean };
  if (properties === undefined || additionalProperties !== false) return null;
  return Object.keys(given).find((name) => !Object.hasOwn(properties, name)) ?? null;
}
