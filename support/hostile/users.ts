// The users of the broker that is attacked. The password of each is its name. Canaries log in as guest.

/**
 * Who attacks. `alice` may do everything that is not an administrator's; `eve` everything with names that begin with
 * `eve-`, and with topics below `eve`; `bob` may log in, and nothing else.
 */
export type Attacker = 'alice' | 'eve' | 'bob';

/** Users that have not logged in since the start, so that their first login costs a password hash. */
export const NEWCOMERS = Array.from({ length: 40 }, (_, i) => `newcomer-${i}`);
