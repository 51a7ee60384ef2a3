//! Words of a log by number: they return millions of times.

use std::collections::HashMap;

/// Words, numbered as they come.
#[derive(Default)]
pub struct Names {
    numbers: HashMap<String, u32>,
    words: Vec<String>,
}

impl Names {
    /// The number of a word.
    pub fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).expect("a log with less than 2^32 different words");
        self.numbers.insert(word.to_owned(), number);
        self.words.push(word.to_owned());
        number
    }

    /// The word with a number.
    pub fn word(&self, number: u32) -> &str {
        &self.words[number as usize]
    }
}
