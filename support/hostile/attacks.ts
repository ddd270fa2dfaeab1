// All attacks, in the order in which they run: those against logins first, while there are users who have not logged in.

import type { Attack } from './attack.ts';
import { FAULTS } from './attacks/faults.ts';
import { LOGINS } from './attacks/logins.ts';
import { MEMORY } from './attacks/memory.ts';
import { TIME } from './attacks/time.ts';

export const ATTACKS: readonly Attack[] = [...LOGINS, ...FAULTS, ...MEMORY, ...TIME];
