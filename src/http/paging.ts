// Lists in pages, in RabbitMQ's form: without `page` a plain array, with it an object that includes the counts. A list
// that is longer than a page must be requested in pages, so that no request holds up the broker for hundreds of
// thousands of items.

import { type Static, type TSchema, Type } from 'typebox';
import { HttpError } from './http-error.ts';

export const PageQuery = Type.Object(
  {
    page: Type.Optional(Type.Integer({ minimum: 1, description: 'Page, from 1.' })),
    page_size: Type.Optional(Type.Integer({ minimum: 1, description: 'Items of a page.' })),
    name: Type.Optional(Type.String({ maxLength: 1024, description: 'Only items whose name has this in it.' })),
  },
  { additionalProperties: false },
);
export type PageQuery = Static<typeof PageQuery>;

const DEFAULT_PAGE_SIZE = 100;

/** The schema of a list of `item`. */
export const listOf = <Item extends TSchema>(item: Item) =>
  Type.Union([
    Type.Array(item),
    Type.Object({
      items: Type.Array(item),
      item_count: Type.Integer(),
      total_count: Type.Integer(),
      filtered_count: Type.Integer(),
      page: Type.Integer(),
      page_size: Type.Integer(),
      page_count: Type.Integer(),
    }),
  ]);

/**
 * One page of `source`, or all of it. `show` is called for the items of the page only.
 *
 * @throws HttpError if all items were requested and there are more than `pageSizeMax`, or if the page does not exist
 */
export function pageOf<Source, Item>(
  source: Iterable<Source>,
  query: PageQuery,
  pageSizeMax: number,
  nameOf: (item: Source) => string,
  show: (item: Source) => Item,
) {
  const wanted = query.name ?? '';
  const matching: Source[] = [];
  let total = 0;
  for (const item of source) {
    total++;
    if (nameOf(item).includes(wanted)) matching.push(item);
  }
  if (query.page === undefined) {
    if (matching.length > pageSizeMax) {
      const reason = `${matching.length} items; ask for them in pages: ?page=1&page_size=${pageSizeMax}`;
      throw new HttpError(400, 'bad_request', reason);
    }
    return matching.map(show);
  }
  const size = Math.min(query.page_size ?? DEFAULT_PAGE_SIZE, pageSizeMax);
  const pages = Math.max(1, Math.ceil(matching.length / size));
  if (query.page > pages) throw new HttpError(400, 'page_out_of_range', `page ${query.page} of ${pages}`);
  const items = matching.slice((query.page - 1) * size, query.page * size).map(show);
  return {
    items,
    item_count: items.length,
    total_count: total,
    filtered_count: matching.length,
    page: query.page,
    page_size: size,
    page_count: pages,
  };
}
