// Keeps a second broker out of a data directory. The lock is an exclusive SQLite transaction on an empty file: the only
// kernel file lock (fcntl) that Node offers. It ends with the process, however that ends, holds across containers that
// share a volume, and also keeps a second broker of the same process out. Nothing is ever stored in that file.

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

export class DataLock {
  private readonly database: DatabaseSync;

  /** Takes the lock; throws where another broker has it. The directory must exist. */
  constructor(directory: string) {
    this.database = new DatabaseSync(join(directory, 'broker.lock'));
    try {
      this.database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
    } catch (error) {
      this.database.close();
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
      throw new Error(`the data directory ${directory} is in use by another broker`, { cause: error });
    }
  }

  release(): void {
    this.database.close();
  }
}
