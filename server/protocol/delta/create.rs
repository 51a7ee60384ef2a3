//! Finding what two payloads share.
//!
//! Most publications of a channel differ from their predecessor in a few places, so what they share at
//! both ends is compared first, at the speed of memory. Only between those ends are shared parts looked
//! up in an index of the previous payload.

use super::{DIGITS, checksum};

/// Bytes that are hashed together, and the shortest part the index finds.
const WINDOW: usize = 8;

/// Distance between indexed positions of the previous payload: parts of `WINDOW + STRIDE - 1` bytes
/// are found wherever they begin.
const STRIDE: usize = 4;

/// Shared parts below this cost about as much to name as to repeat.
const SHORTEST_COPY: usize = 10;

/// Bytes without a shared part after which one more position is skipped at each step, `STRIDE` at most.
const PATIENCE: usize = 32;

/// Indexed positions compared for one position of the next payload. Bounds the time that repetitive
/// payloads take.
const CANDIDATES: usize = 4;

/// Writes the delta that turns `previous` into `next`.
///
/// Units: time grows with the sum of both sizes, whatever they hold. Numbers of the format have 32 bits,
/// so payloads are below 4 GiB.
///
/// A delta of payloads without much in common is a few bytes longer than `next`; the caller compares.
pub fn create(previous: &[u8], next: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(next);
    let head = shared_head(previous, next);
    let (previous_rest, next_rest) = (&previous[head..], &next[head..]);
    let tail = shared_tail(previous_rest, next_rest);
    let end = next.len() - tail;

    writer.copy(Copy { offset: 0, start: 0, length: head });
    if next_rest.len() - tail >= WINDOW && previous.len() >= WINDOW {
        copy_middle(&mut writer, previous, head, end);
    }
    writer.copy(Copy { offset: previous.len() - tail, start: end, length: tail });
    writer.finish()
}

/// A part of the previous payload that the next one has too.
#[derive(Clone, Copy, Default)]
struct Copy {
    /// Where it begins in the previous payload.
    offset: usize,
    /// Where it begins in the next payload.
    start: usize,
    length: usize,
}

/// Finds copies for `start..end` of the next payload, anywhere in the previous one.
fn copy_middle(writer: &mut Writer<'_>, previous: &[u8], start: usize, end: usize) {
    let next = &writer.next[..end];
    let index = Index::of(previous);
    let mut position = start;
    while let Some(window) = window(next, position) {
        let place = Place { window, position, from: writer.written, likely: writer.likely_offset(position) };
        match index.longest_copy(previous, next, place) {
            Some(copy) => {
                writer.copy(copy);
                position = copy.start + copy.length;
            }
            // The longer nothing was found, the less is looked for: what is skipped is a few bytes.
            None => position += 1 + (position - writer.written).min(PATIENCE * STRIDE) / PATIENCE,
        }
    }
}

/// Where the windows of the previous payload are. Positions with the same hash form a chain, newest first.
struct Index {
    /// Newest indexed position of each hash, counted in strides from 1; zero is none.
    heads: Vec<u32>,
    /// The position before it in the chain, by stride.
    before: Vec<u32>,
    shift: u32,
}

impl Index {
    fn of(previous: &[u8]) -> Self {
        let windows = (previous.len() + STRIDE - WINDOW) / STRIDE;
        let bits = (2 * windows).next_power_of_two().trailing_zeros().max(4);
        let mut index =
            Self { heads: vec![0; 1 << bits], before: vec![0; windows + 1], shift: u64::BITS - bits };
        for number in 1..=windows {
            if let Some(window) = window(previous, (number - 1) * STRIDE) {
                let head = &mut index.heads[hash(window, index.shift)];
                index.before[number] = std::mem::replace(head, number as u32);
            }
        }
        index
    }

    /// Finds the longest part around a place that is worth a copy.
    fn longest_copy(&self, previous: &[u8], next: &[u8], place: Place) -> Option<Copy> {
        let Place { position, from, .. } = place;
        let mut best = Copy::default();
        let mut number = self.heads[hash(place.window, self.shift)] as usize;
        let mut offset = place.likely;
        for _ in 0..=CANDIDATES {
            if window(previous, offset) == Some(place.window) {
                let after = shared_head(&previous[offset..], &next[position..]);
                let before = shared_tail(&previous[..offset], &next[from..position]);
                if before + after > best.length {
                    best = Copy { offset: offset - before, start: position - before, length: before + after };
                }
            }
            if number == 0 {
                break;
            }
            offset = (number - 1) * STRIDE;
            number = self.before[number] as usize;
        }
        (best.length >= SHORTEST_COPY).then_some(best)
    }
}

/// A place of the next payload at which a copy is looked for.
#[derive(Clone, Copy)]
struct Place {
    position: usize,
    /// The bytes there.
    window: u64,
    /// Where a copy may begin at the earliest.
    from: usize,
    /// Where the same bytes are in the previous payload if what lies between was changed in place.
    likely: usize,
}

/// The bytes at `position`, as one number.
fn window(payload: &[u8], position: usize) -> Option<u64> {
    payload.get(position..)?.first_chunk::<WINDOW>().map(|window| u64::from_le_bytes(*window))
}

/// Spreads a window over a table with `64 - shift` bits; the factor is the golden ratio's.
fn hash(window: u64, shift: u32) -> usize {
    (window.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

/// Counts equal bytes from the start.
fn shared_head(left: &[u8], right: &[u8]) -> usize {
    let (left_words, _) = left.as_chunks::<8>();
    let (right_words, _) = right.as_chunks::<8>();
    let words = left_words.iter().zip(right_words).take_while(|(left, right)| left == right).count();
    let rest = words * 8;
    rest + left[rest..].iter().zip(&right[rest..]).take_while(|(left, right)| left == right).count()
}

/// Counts equal bytes from the end.
fn shared_tail(left: &[u8], right: &[u8]) -> usize {
    let (_, left_words) = left.as_rchunks::<8>();
    let (_, right_words) = right.as_rchunks::<8>();
    let equal = |(left, right): &(&[u8; 8], &[u8; 8])| left == right;
    let rest = left_words.iter().rev().zip(right_words.iter().rev()).take_while(equal).count() * 8;
    let (left, right) = (&left[..left.len() - rest], &right[..right.len() - rest]);
    rest + left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count()
}

/// A delta being written.
struct Writer<'a> {
    next: &'a [u8],
    /// How much of `next` the commands make so far.
    written: usize,
    /// Where the last copy ended in the previous payload.
    copied_to: usize,
    delta: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(next: &'a [u8]) -> Self {
        let mut writer =
            Self { next, written: 0, copied_to: 0, delta: Vec::with_capacity(64 + next.len() / 4) };
        writer.number(next.len());
        writer.delta.push(b'\n');
        writer
    }

    /// Copies a part, after inserting what lies before it, unless whole characters leave too little of it.
    fn copy(&mut self, copy: Copy) {
        let Copy { offset, start, length } = self.whole_characters(copy);
        if length < SHORTEST_COPY {
            return;
        }
        self.insert_up_to(start);
        self.number(length);
        self.delta.push(b'@');
        self.number(offset);
        self.delta.push(b',');
        self.written = start + length;
        self.copied_to = offset + length;
    }

    /// The offset in the previous payload that `position` has if nothing moved since the last copy.
    fn likely_offset(&self, position: usize) -> usize {
        self.copied_to + (position - self.written)
    }

    /// Shrinks a copy until it begins and ends between characters of the next payload, if that is text.
    fn whole_characters(&self, copy: Copy) -> Copy {
        let (start, end) = (copy.start, copy.start + copy.length);
        let skipped = self.next[start..end].iter().take(3).take_while(|byte| is_continuation(**byte)).count();
        let mut cut = 0;
        while cut < 3
            && self.next.get(end - cut).is_some_and(|byte| is_continuation(*byte))
            && end - cut > start
        {
            cut += 1;
        }
        Copy {
            offset: copy.offset + skipped,
            start: start + skipped,
            length: copy.length.saturating_sub(skipped + cut),
        }
    }

    fn insert_up_to(&mut self, end: usize) {
        if self.written < end {
            self.number(end - self.written);
            self.delta.push(b':');
            self.delta.extend_from_slice(&self.next[self.written..end]);
            self.written = end;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.insert_up_to(self.next.len());
        self.number(checksum(self.next) as usize);
        self.delta.push(b';');
        self.delta
    }

    /// Writes a number, its largest digit first.
    fn number(&mut self, number: usize) {
        let digits = (usize::BITS - number.leading_zeros()).div_ceil(6).max(1);
        for place in (0..digits).rev() {
            self.delta.push(DIGITS[number >> (6 * place) & 63]);
        }
    }
}

/// Whether a byte of UTF-8 goes on with the character before it.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
