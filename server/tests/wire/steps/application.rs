//! Verbs about the application: what it answers and what it was asked.

use serde_json::{Map, Value, json};

use super::Run;
use super::step::Step;

impl Run<'_> {
    pub(super) fn backend(&mut self, step: &mut Step) -> Result<(), String> {
        let (path, when, mut answer) = place(step)?;
        // What a list of answers holds, laid over the rest.
        if let Some(Value::Object(more)) = answer.shift_remove("as") {
            answer.extend(more);
        }
        self.target.application.script(&path, when, answer);
        Ok(())
    }

    pub(super) async fn asked(&mut self, step: &mut Step) -> Result<(), String> {
        let (path, when, _) = place(step)?;
        let shown = self.target.application.question(&path, when.as_ref()).await.shown;
        self.note(format!("{path} <- {shown}"));
        if let Some(expected) = step.take("request") {
            self.check(&expected, &shown["body"])?;
        }
        for name in ["method", "certificate"] {
            if let Some(expected) = step.take(name) {
                self.check(&expected, &shown[name])?;
            }
        }
        if let Some(Value::Object(mut expected)) = step.take("headers") {
            expected.insert("$more".to_owned(), true.into());
            self.check(&json!(expected), &shown["headers"])?;
        }
        Ok(())
    }

    pub(super) async fn stream(&mut self, step: &mut Step) -> Result<(), String> {
        let (path, when, members) = place(step)?;
        let application = &self.target.application;
        match (step.take("published"), step.take("dropped")) {
            (Some(expected), _) => {
                let message = application.published(&path, when.as_ref()).await?;
                self.check(&expected, &message["publication"])
            }
            (None, Some(_)) => application.stream_dropped(&path, when.as_ref()).await,
            (None, None) => application.stream(&path, when.as_ref(), &members),
        }
    }

    pub(super) fn not_asked(&mut self, step: &mut Step) -> Result<(), String> {
        let (path, when, _) = place(step)?;
        match self.target.application.was_asked(&path, when.as_ref()) {
            true => Err(format!("the application was asked {path} {when:?}")),
            false => Ok(()),
        }
    }
}

/// Path, `when`, and the rest.
type Place = (String, Option<Value>, Map<String, Value>);

fn place(step: &Step) -> Result<Place, String> {
    let mut members = step.object()?;
    let path = members.shift_remove("path");
    let path = path.as_ref().and_then(Value::as_str).ok_or_else(|| format!("{} needs a path", step.verb))?;
    let when = members.shift_remove("when");
    Ok((path.to_owned(), when, members))
}
