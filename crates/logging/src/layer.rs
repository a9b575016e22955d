//! From tracing events to lines in a sink.

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope},
};

use crate::fields::{Fields, line};

/// Where lines go.
pub trait Sink: Send + Sync + 'static {
    /// What holds for every line now, such as the worker's name.
    fn around(&self) -> Map<String, Value>;

    fn write(&self, line: &str);
}

/// Makes one line of each event, with the fields of the spans around it.
pub struct Lines<S> {
    pub json: bool,
    pub sink: S,
}

impl<S: Sink, T: Subscriber + for<'a> LookupSpan<'a>> Layer<T> for Lines<S> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, T>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, T>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, T>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut around = self.sink.around();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                around.extend(fields.rest.clone());
            }
        }
        self.sink
            .write(&line(self.json, *event.metadata().level(), &around, &own));
    }
}
