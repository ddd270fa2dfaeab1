// Why a message leaves a queue other than by acknowledgement.

export const DEATHS = ['expired', 'rejected', 'maxlen', 'delivery_limit'] as const;

/** Why a message died. */
export type Death = (typeof DEATHS)[number];
