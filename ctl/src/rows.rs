//! Rows of the result tables, as JSON for programs and as text for people.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use bytes::Bytes;
use proto::v1::{ReadTableRequest, ResultsReply, ResultsRequest, TableChunk};
use serde_json::{Map, Value};
use store::{Location, Scheme};
use tables::{Row, ScoreRow, TableReader};
use tonic::Streaming;

use crate::Error;
use crate::client::Client;
use crate::output::{self, Document, Table};

/// The published tables of a job, as the coordinator hands them out: it reads stores that users need no keys for.
pub struct Results(ResultsReply);

impl Results {
    /// `None` if the job has not published any yet.
    pub async fn find(client: &mut Client, job: &str) -> Result<Option<Self>, Error> {
        match client
            .results(ResultsRequest {
                job: job.to_owned(),
            })
            .await
        {
            Ok(reply) => Ok(Some(Self(reply.into_inner()))),
            Err(status) if status.code() == tonic::Code::FailedPrecondition => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// An earlier one, which stays in the store.
    pub fn of_generation(&self, generation: u64) -> Self {
        let mut reply = self.0.clone();
        reply.generation = generation;
        Self(reply)
    }

    /// The folder as people reach it: a path for local stores, else a URI.
    pub fn place(&self) -> String {
        let uri = format!("{}/{}", self.0.store.trim_end_matches('/'), self.0.path);
        match Location::parse(&uri) {
            Ok(place) if place.scheme == Scheme::File => place.local().display().to_string(),
            _ => uri,
        }
    }

    /// The store that the tables are in.
    pub fn store(&self) -> &str {
        &self.0.store
    }

    /// Nothing if there is no such table: it came with a later version than did the job.
    pub async fn read_if_there<R: Row>(&self, client: &mut Client) -> Result<Vec<R>, Error> {
        let name = format!("{}.parquet", R::TABLE);
        if self.0.tables.contains(&name) {
            self.read(client).await
        } else {
            Ok(Vec::new())
        }
    }

    /// Names of the files that stand there.
    pub fn files(&self) -> &[String] {
        &self.0.tables
    }

    /// A table, or with its extension any of the files, in pieces.
    pub async fn open(
        &self,
        client: &mut Client,
        name: &str,
    ) -> Result<Streaming<TableChunk>, Error> {
        let request = ReadTableRequest {
            job: self.0.job.clone(),
            generation: self.0.generation,
            table: name.to_owned(),
        };
        Ok(client.read_table(request).await?.into_inner())
    }

    pub async fn read<R: Row>(&self, client: &mut Client) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        self.each(client, |batch| rows.extend(batch)).await?;
        Ok(rows)
    }

    /// Batch by batch: of a table that is large only its file is held.
    pub async fn each<R: Row>(
        &self,
        client: &mut Client,
        each: impl FnMut(Vec<R>),
    ) -> Result<(), Error> {
        self.each_of(R::TABLE, client, each).await
    }

    /// Every image that the job answers for: those that it has scored, and of an incremental job those that earlier ones had.
    pub async fn each_score(
        &self,
        client: &mut Client,
        mut each: impl FnMut(Vec<ScoreRow>),
    ) -> Result<(), Error> {
        self.each(client, &mut each).await?;
        self.each_reused(client, each).await
    }

    /// Those of an incremental job that earlier ones had scored.
    pub async fn each_reused(
        &self,
        client: &mut Client,
        each: impl FnMut(Vec<ScoreRow>),
    ) -> Result<(), Error> {
        if self.0.tables.iter().any(|table| table == "reused.parquet") {
            self.each_of("reused", client, each).await?;
        }
        Ok(())
    }

    async fn each_of<R: Row>(
        &self,
        table: &str,
        client: &mut Client,
        mut each: impl FnMut(Vec<R>),
    ) -> Result<(), Error> {
        let mut pieces = self.open(client, table).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.message().await? {
            bytes.extend_from_slice(&piece.data);
        }
        for batch in TableReader::<R>::open(Bytes::from(bytes))? {
            each(batch?);
        }
        Ok(())
    }
}

/// Every row as an object whose keys are the columns' names.
pub fn json<R: Row>(rows: &[R]) -> Result<Vec<Value>, Error> {
    let batch = R::to_batch(rows).map_err(unwritable)?;
    let columns = columns(&batch);
    Ok((0..batch.num_rows())
        .map(|row| {
            Value::Object(
                columns
                    .iter()
                    .map(|(name, column)| (name.clone(), cell(column, row)))
                    .collect::<Map<_, _>>(),
            )
        })
        .collect())
}

/// Rows for another document: every column with every digit as comma-separated values, else what people see.
pub fn document<R: Row>(
    rows: &[R],
    shown: &[&'static str],
    form: Document,
) -> Result<String, Error> {
    if form != Document::Csv {
        return Ok(table(rows, shown)?.document(form));
    }
    let batch = R::to_batch(rows).map_err(unwritable)?;
    let columns = columns(&batch);
    let header = columns.iter().map(|(name, _)| name.clone()).collect();
    let exact = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    let line = |row| {
        let cells = columns.iter().map(|(_, column)| exact(cell(column, row)));
        cells.collect()
    };
    Ok(output::csv(
        std::iter::once(header).chain((0..batch.num_rows()).map(line)),
    ))
}

fn unwritable(source: ArrowError) -> Error {
    Error::cannot_run_because("cannot form the rows", source)
}

fn columns(batch: &RecordBatch) -> Vec<(String, Arc<dyn Array>)> {
    batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .zip(batch.columns().iter().cloned())
        .collect()
}

fn cell(column: &Arc<dyn Array>, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        // By way of its shortest text, so that 0.1 does not become 0.10000000149.
        DataType::Float32 => column
            .as_primitive::<Float32Type>()
            .value(row)
            .to_string()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            output::time(column.as_primitive::<TimestampMicrosecondType>().value(row) / 1000)
        }
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|item| cell(&items, item)).collect())
        }
        DataType::Struct(_) => {
            let parts = column.as_struct();
            let names = parts.column_names().into_iter().map(str::to_owned);
            let cells = parts.columns().iter().map(|part| cell(part, row));
            Value::Object(names.zip(cells).collect())
        }
        other => format!("({other})").into(),
    }
}

/// A table of the named columns for people; `>` before a name sets it to the right.
pub fn table<R: Row>(rows: &[R], shown: &[&'static str]) -> Result<Table, Error> {
    let batch = R::to_batch(rows).map_err(unwritable)?;
    let column = |name: &&str| batch.column_by_name(name.trim_start_matches('>'));
    let columns: Vec<_> = shown.iter().map(column).collect();
    let mut table = Table::new(shown);
    for row in 0..batch.num_rows() {
        let of_column = |(name, column): (&&str, &Option<_>)| {
            column.map_or("-".to_owned(), |column| text(name, column, row))
        };
        table.row(shown.iter().zip(&columns).map(of_column));
    }
    Ok(table)
}

/// Columns of metrics, and of what bounds them.
const METRICS: [&str; 4] = ["value", "low", "high", "aupimo"];

fn text(name: &str, column: &Arc<dyn Array>, row: usize) -> String {
    // Of the number itself: its shortest text, which programs get, may round to another last digit.
    if let Some(numbers) = column.as_primitive_opt::<Float32Type>()
        && column.is_valid(row)
    {
        return output::number(numbers.value(row).into());
    }
    match cell(column, row) {
        Value::Null => "-".to_owned(),
        Value::String(text) => text,
        Value::Number(number) if number.is_f64() => {
            let shown = match METRICS.contains(&name.trim_start_matches('>')) {
                true => report::metric,
                false => output::number,
            };
            shown(number.as_f64().unwrap_or(f64::NAN))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::{MetricRow, TimingRow};

    #[test]
    fn a_score_ends_with_the_same_digit_in_every_table() {
        // Below and above half of a last digit, unlike their shortest texts read again.
        for (score, shown) in [
            (0.000_85, "0.0009"),
            (0.000_65, "0.0007"),
            (0.000_55, "0.0005"),
        ] {
            let row = ScoreRow {
                score: Some(score),
                ..ScoreRow::default()
            };
            let table = table(std::slice::from_ref(&row), &[">score", ">score_normalized"]);
            let lines = table.unwrap().render();
            assert_eq!(lines.split_whitespace().nth(2), Some(shown), "{lines}");
            assert_eq!(output::number(score.into()), shown);
            // Programs have the shortest text that is this number.
            assert_eq!(
                json(&[row]).unwrap()[0]["score"],
                score.to_string().parse::<f64>().unwrap()
            );
        }
    }

    #[test]
    fn a_metric_of_nearly_one_is_not_shown_as_one() {
        let row = MetricRow {
            value: Some(0.999_97),
            high: Some(1.0),
            threshold: Some(0.999_97),
            ..MetricRow::default()
        };
        let table = table(&[row], &[">value", ">high", ">threshold"]).unwrap();
        let lines = table.render();
        let cells: Vec<&str> = lines.split_whitespace().skip(3).collect();
        assert_eq!(cells, ["0.9999", "1.0000", "1.0000"], "{lines}");
    }

    #[test]
    fn rows_become_objects_with_the_columns_names() {
        let row = TimingRow {
            run: Some(1),
            task: "abcd-0001".to_owned(),
            kind: "fit".to_owned(),
            stage: "total".to_owned(),
            wall_s: 1.5,
            busy_s: Some(2.0),
            blocked_s: None,
            cpu_s: None,
            items: 3,
            bytes: 4,
            peak_memory: Some(5),
            trace: None,
        };
        let rows = json(std::slice::from_ref(&row)).unwrap();
        assert_eq!(
            rows,
            [
                serde_json::json!({"run": 1, "task": "abcd-0001", "kind": "fit", "stage": "total", "wall_s": 1.5, "busy_s": 2.0, "blocked_s": null, "cpu_s": null,
                "items": 3, "bytes": 4, "peak_memory": 5, "trace": null})
            ]
        );
        assert_eq!(
            table(std::slice::from_ref(&row), &["task", ">wall_s", ">cpu_s"])
                .unwrap()
                .render(),
            "TASK       WALL_S  CPU_S\nabcd-0001  1.5000      -"
        );
        let csv = document(std::slice::from_ref(&row), &[], Document::Csv).unwrap();
        assert_eq!(
            csv,
            "run,task,kind,stage,wall_s,busy_s,blocked_s,cpu_s,items,bytes,peak_memory,trace\r\n1,abcd-0001,fit,total,1.5,2.0,,,3,4,5,"
        );
    }
}
