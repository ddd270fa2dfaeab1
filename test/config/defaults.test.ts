// The configuration is a leaf and repeats the core's defaults; here they are held together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultConfig } from '../../src/config/load.ts';
import { type CoreLimits, DEFAULT_LIMITS } from '../../src/core/limits.ts';

test('every bound of the core is configurable, with the default that the core has', () => {
  const limits: CoreLimits & Record<string, unknown> = defaultConfig().limits;
  for (const [name, value] of Object.entries(DEFAULT_LIMITS)) assert.equal(limits[name], value, name);
});
