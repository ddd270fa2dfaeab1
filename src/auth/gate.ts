// Runs a bounded number of asynchronous jobs at a time, and lets a bounded number wait. Password hashes go through one,
// so that a flood of logins takes neither all memory nor the threads on which the store commits.
//
// Waiting is fair: the next job is that of the address which waited longest for its turn, and within the address that of
// the user name. So who sends many logins delays its own. When too many wait in all, one of the address with the most is
// refused in favour of a new one of another address. Jobs whose clients have gone are dropped when their turn comes.

/** Who waits for a job. */
export interface Applicant {
  readonly address: string;
  readonly user: string;
  /** Whether nobody waits for the result any more. */
  gone(): boolean;
}

/** Why a job was not done: too many wait, or too many of its address; or its client has gone. */
export const REFUSED = { full: 'full', addressFull: 'address full', gone: 'gone' } as const;
export type Refused = (typeof REFUSED)[keyof typeof REFUSED];

interface Waiting {
  readonly applicant: Applicant;
  readonly proceed: (refused: Refused | null) => void;
}

/** Queues of what waits, by key, of which each has its turn: the first one goes to the end when it was served. */
type Turns<Value> = Map<string, Value>;

export class Gate {
  private readonly width: number;
  private readonly waitingLimit: number;
  private readonly waitingPerAddress: number;
  private running: number;
  private count: number;
  /** By address, then by user name. */
  private readonly waiting: Turns<{ count: number; readonly users: Turns<Waiting[]> }>;

  constructor(width: number, waitingLimit: number, waitingPerAddress: number) {
    this.width = width;
    this.waitingLimit = waitingLimit;
    this.waitingPerAddress = waitingPerAddress;
    this.running = 0;
    this.count = 0;
    this.waiting = new Map();
  }

  /** The result of `work`, or why it was not begun. */
  async pass<Result>(applicant: Applicant, work: () => Promise<Result>): Promise<Result | Refused> {
    if (this.running >= this.width) {
      const refused = await this.wait(applicant);
      if (refused !== null) return refused;
    } else this.running++;
    try {
      return await work();
    } finally {
      // A job that ends hands its place to the next one waiting, so that no new job can overtake it.
      const next = this.next();
      if (next === null) this.running--;
      else next.proceed(null);
    }
  }

  private wait(applicant: Applicant): Promise<Refused | null> {
    const { address, user } = applicant;
    const full = this.makeRoom(address);
    if (full !== null) return Promise.resolve(full);
    return new Promise((proceed) => {
      let ofAddress = this.waiting.get(address);
      if (ofAddress === undefined) {
        ofAddress = { count: 0, users: new Map() };
        this.waiting.set(address, ofAddress);
      }
      const ofUser = ofAddress.users.get(user);
      if (ofUser === undefined) ofAddress.users.set(user, [{ applicant, proceed }]);
      else ofUser.push({ applicant, proceed });
      ofAddress.count++;
      this.count++;
    });
  }

  /** Null where there is room for one more of the address, or where it could be made. */
  private makeRoom(address: string): Refused | null {
    if (this.waitingOf(address) >= this.waitingPerAddress) this.dropGone(address);
    if (this.waitingOf(address) >= this.waitingPerAddress) return REFUSED.addressFull;
    if (this.count < this.waitingLimit) return null;
    const most = this.addressWithMost();
    this.dropGone(most);
    if (this.count < this.waitingLimit) return null;
    if (this.waitingOf(most) <= this.waitingOf(address) + 1) return REFUSED.full;
    this.refuseLast(most);
    return null;
  }

  private waitingOf(address: string): number {
    return this.waiting.get(address)?.count ?? 0;
  }

  private addressWithMost(): string {
    let most = '';
    let count = -1;
    for (const [address, ofAddress] of this.waiting) {
      if (ofAddress.count <= count) continue;
      most = address;
      count = ofAddress.count;
    }
    return most;
  }

  /** Refuses the job of an address that came last of the user name with the most. */
  private refuseLast(address: string): void {
    const ofAddress = this.waiting.get(address)!;
    let longest: Waiting[] = [];
    let name = '';
    for (const [user, jobs] of ofAddress.users) {
      if (jobs.length <= longest.length) continue;
      longest = jobs;
      name = user;
    }
    longest.pop()!.proceed(REFUSED.full);
    if (longest.length === 0) ofAddress.users.delete(name);
    ofAddress.count--;
    this.count--;
    if (ofAddress.count === 0) this.waiting.delete(address);
  }

  /** The next job whose applicant is still there; others before it are dropped. */
  private next(): Waiting | null {
    for (const [address, ofAddress] of this.waiting) {
      for (const [user, jobs] of ofAddress.users) {
        while (jobs.length > 0) {
          const job = jobs.shift()!;
          this.count--;
          ofAddress.count--;
          if (job.applicant.gone()) {
            job.proceed(REFUSED.gone);
            continue;
          }
          // Behind all others that wait.
          ofAddress.users.delete(user);
          if (jobs.length > 0) ofAddress.users.set(user, jobs);
          this.waiting.delete(address);
          if (ofAddress.count > 0) this.waiting.set(address, ofAddress);
          return job;
        }
        ofAddress.users.delete(user);
      }
      this.waiting.delete(address);
    }
    return null;
  }

  /** Makes room among the jobs of an address: those whose applicants have gone. */
  private dropGone(address: string): void {
    const ofAddress = this.waiting.get(address);
    if (ofAddress === undefined) return;
    for (const [user, jobs] of ofAddress.users) {
      const left = jobs.filter((job) => !job.applicant.gone());
      const dropped = jobs.length - left.length;
      if (dropped === 0) continue;
      this.count -= dropped;
      ofAddress.count -= dropped;
      for (const job of jobs) if (job.applicant.gone()) job.proceed(REFUSED.gone);
      if (left.length > 0) ofAddress.users.set(user, left);
      else ofAddress.users.delete(user);
    }
    if (ofAddress.count === 0) this.waiting.delete(address);
  }
}
