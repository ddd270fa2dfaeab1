// How Fastify checks requests and writes answers here: with TypeBox, the one schema system of the product, and loaded
// with the first request of the API. Compiling every route's schemas with Ajv and fast-json-stringify, Fastify's own
// way, cost 70 ms of each start, for an API that is asked now and then and never for more than a page.

import type { FastifyInstance, FastifySchemaCompiler, FastifyServerOptions } from 'fastify';
import type { TSchema } from 'typebox';
import type { Value } from 'typebox/value';

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>;

/** For Fastify's `schemaController`. Answers are shaped by their routes' types; tests hold them to their schemas. */
export class LazyValidation {
  private value: typeof Value | null;

  constructor() {
    this.value = null;
  }

  /** The cast is there because Fastify's types of this option know Ajv's compilers only. */
  readonly schemaController = {
    compilersFactory: {
      buildValidator: () => this.compile,
      buildSerializer: () => () => (answer: unknown) => JSON.stringify(answer),
    },
  } as unknown as SchemaController;

  /** Routes that take anything to be checked stand behind this. */
  loadBefore(api: FastifyInstance): void {
    api.addHook('onRequest', async () => {
      this.value ??= (await import('typebox/value')).Value;
    });
  }

  /** Text from paths and queries becomes what the schema wants, or an error that says where it does not. */
  private readonly compile: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
    return (given: unknown) => {
      const { value: checker } = this;
      if (checker === null) throw new Error('a route with a schema does not load its validation');
      const value = checker.Convert(schema, { ...(given as object) });
      if (checker.Check(schema, value)) return { value };
      const [problem] = checker.Errors(schema, value);
      return { error: new Error(`${httpPart}${problem?.instancePath ?? ''} ${problem?.message ?? 'is not valid'}`) };
    };
  };
}
