// Topic patterns in a trie of words: one level for each word, `single` for the wildcard that takes one word, `multi` for
// the one that takes any number. A match follows every way down. A binding can be met twice, which the route's targets
// absorb.
//
// Patterns with several `#` (`#.a.#.a.#`) have exponentially many ways to match a long key, and both are in a client's
// hands. They have a tree of their own, so that they slow nobody else, and there a match goes level by level over sets of
// nodes, which costs at most nodes × words.
//
// Nodes are small because there may be millions: a node with one child keeps it inline, a map appears with the second.

import { MULTI, type PatternWord, SINGLE } from '../message/topic-pattern.ts';
import type { Binding } from './exchange.ts';

/** Longer keys are matched level by level: `walk` recurses once for each word. */
const WALKED_WORDS = 256;

/** Called for each binding whose pattern matches. */
export type OnMatch = (binding: Binding) => void;

class TrieNode {
  onlyWord: string | null = null;
  onlyChild: TrieNode | null = null;
  children: Map<string, TrieNode> | null = null;
  single: TrieNode | null = null;
  multi: TrieNode | null = null;
  bindings: Binding[] | null = null;

  get(word: string): TrieNode | undefined {
    if (this.children !== null) return this.children.get(word);
    return this.onlyWord === word ? this.onlyChild! : undefined;
  }

  getOrMake(word: string): TrieNode {
    const known = this.get(word);
    if (known !== undefined) return known;
    const node = new TrieNode();
    if (this.children !== null) {
      this.children.set(word, node);
    } else if (this.onlyWord === null) {
      this.onlyWord = word;
      this.onlyChild = node;
    } else {
      this.children = new Map([
        [this.onlyWord, this.onlyChild!],
        [word, node],
      ]);
      this.onlyWord = null;
      this.onlyChild = null;
    }
    return node;
  }

  drop(word: string): void {
    if (this.children !== null) this.children.delete(word);
    else if (this.onlyWord === word) {
      this.onlyWord = null;
      this.onlyChild = null;
    }
  }

  get empty(): boolean {
    return (
      this.bindings === null &&
      this.onlyChild === null &&
      (this.children === null || this.children.size === 0) &&
      this.single === null &&
      this.multi === null
    );
  }
}

export class TopicTrie {
  private readonly root = new TrieNode();
  /** Of patterns with more than one MULTI; made with the first. */
  private ambiguous: TrieNode | null = null;
  private count = 0;

  get size(): number {
    return this.count;
  }

  add(pattern: readonly PatternWord[], binding: Binding): void {
    let node = isAmbiguous(pattern) ? (this.ambiguous ??= new TrieNode()) : this.root;
    for (const word of pattern) {
      if (word === SINGLE) node = node.single ??= new TrieNode();
      else if (word === MULTI) node = node.multi ??= new TrieNode();
      else node = node.getOrMake(word);
    }
    node.bindings ??= [];
    binding.place = node.bindings.length;
    node.bindings.push(binding);
    this.count++;
  }

  /** Removes a binding that was added under the same pattern, and the nodes that nothing needs any more. */
  remove(pattern: readonly PatternWord[], binding: Binding): void {
    const root = isAmbiguous(pattern) ? this.ambiguous : this.root;
    if (root === null) return;
    const path: TrieNode[] = [root];
    for (const word of pattern) {
      const node = path[path.length - 1]!;
      const next = word === SINGLE ? node.single : word === MULTI ? node.multi : (node.get(word) ?? null);
      if (next === null) return;
      path.push(next);
    }
    const leaf = path[path.length - 1]!;
    const { bindings } = leaf;
    if (bindings === null || bindings[binding.place] !== binding) return;
    // The last one takes its place: a search would make the unsubscribing of 100,000 from one filter quadratic.
    const last = bindings.pop()!;
    if (last !== binding) {
      bindings[binding.place] = last;
      last.place = binding.place;
    }
    if (bindings.length === 0) leaf.bindings = null;
    this.count--;
    for (let depth = pattern.length - 1; depth >= 0 && path[depth + 1]!.empty; depth--) {
      const word = pattern[depth]!;
      const parent = path[depth]!;
      if (word === SINGLE) parent.single = null;
      else if (word === MULTI) parent.multi = null;
      else parent.drop(word);
    }
    if (this.ambiguous?.empty) this.ambiguous = null;
  }

  /**
   * Calls `onMatch` for every binding whose pattern matches the words. With `rootWildcards` false, patterns that start
   * with a wildcard are left out (MQTT topics that start with `$`).
   */
  match(words: readonly string[], rootWildcards: boolean, onMatch: OnMatch): void {
    const isLong = words.length > WALKED_WORDS;
    if (rootWildcards) {
      if (isLong) this.sweep(this.root, words, 0, onMatch);
      else this.walk(this.root, words, 0, onMatch);
      if (this.ambiguous !== null) this.sweep(this.ambiguous, words, 0, onMatch);
      return;
    }
    if (words.length === 0) return;
    const start = this.root.get(words[0]!);
    if (start !== undefined) {
      if (isLong) this.sweep(start, words, 1, onMatch);
      else this.walk(start, words, 1, onMatch);
    }
    const ambiguous = this.ambiguous?.get(words[0]!);
    if (ambiguous !== undefined) this.sweep(ambiguous, words, 1, onMatch);
  }

  /** Nodes that there are: what patterns that were removed must leave nothing of. */
  get nodes(): number {
    let nodes = 0;
    const left = [this.root, this.ambiguous];
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (node === null) continue;
      nodes++;
      left.push(node.onlyChild, node.single, node.multi);
      if (node.children !== null) for (const child of node.children.values()) left.push(child);
    }
    return nodes;
  }

  private walk(node: TrieNode, words: readonly string[], at: number, onMatch: OnMatch): void {
    if (node.multi !== null) {
      // `#` takes none, one or all of the words that are left.
      for (let rest = at; rest <= words.length; rest++) {
        if (rest === words.length || hasChildren(node.multi)) this.walk(node.multi, words, rest, onMatch);
      }
    }
    if (at === words.length) {
      const { bindings } = node;
      if (bindings !== null) for (let i = 0; i < bindings.length; i++) onMatch(bindings[i]!);
      return;
    }
    const child = node.get(words[at]!);
    if (child !== undefined) this.walk(child, words, at + 1, onMatch);
    if (node.single !== null) this.walk(node.single, words, at + 1, onMatch);
  }

  /** The same match over sets of nodes, one word at a time; a MULTI node stays in the set once it is reached. */
  private sweep(start: TrieNode, words: readonly string[], from: number, onMatch: OnMatch): void {
    let nodes = new Set<TrieNode>();
    /** MULTI nodes that were reached: each takes any word and stays. */
    const multis = new Set<TrieNode>();
    const reach = (node: TrieNode): void => {
      nodes.add(node);
      if (node.multi !== null && !multis.has(node.multi)) {
        multis.add(node.multi);
        reach(node.multi);
      }
    };
    reach(start);
    for (let at = from; at < words.length; at++) {
      const now = nodes;
      nodes = new Set(multis);
      for (const node of now) {
        const child = node.get(words[at]!);
        if (child !== undefined) reach(child);
        if (node.single !== null) reach(node.single);
      }
    }
    for (const node of nodes) if (node.bindings !== null) for (const binding of node.bindings) onMatch(binding);
  }
}

function isAmbiguous(pattern: readonly PatternWord[]): boolean {
  return pattern.indexOf(MULTI) !== pattern.lastIndexOf(MULTI);
}

function hasChildren(node: TrieNode): boolean {
  return node.onlyChild !== null || node.children !== null || node.single !== null || node.multi !== null;
}
