// Where the reader points, in all charts of one x axis at once. Moves are told once a frame, without React.

/** What follows the cursor. */
export interface Follower {
  /** Which x axis it has; only those with the same one go together. */
  readonly axis: string;
  follow(): void;
  /** The pointer has been moved over it: say where the cursor is now. */
  lead(): void;
}

/** ms. */
const SETTLES = 70;

class Cursor {
  axis = "";
  /** null: nowhere. */
  x: number | null = null;
  /** The run that is pointed at. */
  run: string | null = null;
  /** The same, once it has been it for a moment: for the charts beside the one that is pointed at. */
  settled: string | null = null;
  leader: Follower | null = null;
  private timer = 0;
  private waiting: string | null = null;
  private chosen: string | null = null;
  private readonly followers = new Set<Follower>();
  private frame = 0;

  add(follower: Follower): () => void {
    this.followers.add(follower);
    return () => {
      this.followers.delete(follower);
      if (this.leader === follower) this.leave(follower);
    };
  }

  /** The pointer is over `leader`, which is asked where, once in the next frame. */
  moved(leader: Follower): void {
    this.leader = leader;
    this.soon();
  }

  leave(leader: Follower): void {
    if (this.leader !== leader) return;
    this.leader = null;
    this.soon();
  }

  /** A run is pointed at elsewhere, by its name: every chart draws it strongly. */
  choose(run: string | null): void {
    this.chosen = run;
    this.soon();
  }

  private soon(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.tell());
  }

  private tell(): void {
    this.frame = 0;
    if (this.leader) {
      this.axis = this.leader.axis;
      this.leader.lead();
    } else {
      this.x = null;
      this.run = this.chosen;
    }
    this.settle();
    for (const follower of this.followers) follower.follow();
  }

  /** Who moves across many lines wants to get somewhere: only where they stay is the run drawn strongly everywhere. */
  private settle(): void {
    if (this.run === this.waiting) return;
    this.waiting = this.run;
    window.clearTimeout(this.timer);
    if (this.run === null) this.settled = null;
    else {
      this.timer = window.setTimeout(() => {
        this.settled = this.waiting;
        this.soon();
      }, SETTLES);
    }
  }
}

export const cursor = new Cursor();
