//! The protocol buffers of events, as far as they are written.

use std::collections::BTreeMap;

use prost::Message;

use super::Hparam;

/// Ranges of a histogram, as many as TensorBoard's own have.
pub const HISTOGRAM_BUCKETS: usize = 30;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(oneof = "Kind", tags = "2, 5, 8")]
    pub(super) kind: Option<Kind>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<SummaryMetadata>,
}

/// A `oneof` writes zeros, which plain fields leave out: a value of 0 must not look like no value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Kind {
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    #[prost(message, tag = "5")]
    Histogram(Histogram),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<TensorShape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

impl Tensor {
    const FLOAT: i32 = 1;
    const STRING: i32 = 7;

    fn new(dtype: i32, size: i64, string_val: Vec<Vec<u8>>) -> Self {
        Self { dtype, tensor_shape: Some(TensorShape { dim: vec![Dimension { size }] }), string_val }
    }
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(double, tag = "1")]
    pub(super) min: f64,
    #[prost(double, tag = "2")]
    pub(super) max: f64,
    #[prost(double, tag = "3")]
    pub(super) num: f64,
    #[prost(double, tag = "4")]
    pub(super) sum: f64,
    #[prost(double, tag = "5")]
    pub(super) sum_squares: f64,
    /// Upper ends of the ranges.
    #[prost(double, repeated, tag = "6")]
    pub(super) bucket_limit: Vec<f64>,
    /// How many values lie in each.
    #[prost(double, repeated, tag = "7")]
    pub(super) bucket: Vec<f64>,
}

impl Histogram {
    /// Counts the finite ones of some numbers; none if there are none.
    pub(super) fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
        let (min, max) = finite()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if min > max {
            return None;
        }
        let count = if min < max { HISTOGRAM_BUCKETS } else { 1 };
        let width = (max - min) / count as f64;
        let mut bucket = vec![0.0; count];
        for value in finite() {
            let place = if width > 0.0 { ((value - min) / width) as usize } else { 0 };
            bucket[place.min(count - 1)] += 1.0;
        }
        let limit = |i: usize| if i == count { max } else { min + i as f64 * width };
        Some(Self {
            min,
            max,
            num: finite().count() as f64,
            sum: finite().sum(),
            sum_squares: finite().map(|value| value * value).sum(),
            bucket_limit: (1..=count).map(limit).collect(),
            bucket,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HparamsPluginData {
    #[prost(message, optional, tag = "3")]
    pub(super) session_start_info: Option<SessionStartInfo>,
    #[prost(message, optional, tag = "4")]
    pub(super) session_end_info: Option<SessionEndInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionStartInfo {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) hparams: BTreeMap<String, Value>,
    #[prost(double, tag = "5")]
    pub(super) start_time_secs: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionEndInfo {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(double, tag = "2")]
    pub(super) end_time_secs: f64,
}

impl SessionEndInfo {
    pub(super) const SUCCESS: i32 = 1;
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(oneof = "ValueKind", tags = "2, 3, 4")]
    kind: Option<ValueKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ValueKind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
}

impl Value {
    pub(super) fn of(hparam: &Hparam) -> Self {
        let kind = match hparam {
            Hparam::Number(number) => ValueKind::Number(*number),
            Hparam::Text(text) => ValueKind::Text(text.clone()),
            Hparam::Bool(value) => ValueKind::Bool(*value),
        };
        Self { kind: Some(kind) }
    }
}

impl Event {
    pub(super) fn summary(wall_time: f64, step: i64, value: SummaryValue) -> Self {
        Self { wall_time, step, what: Some(What::Summary(Summary { value: vec![value] })) }
    }
}

impl SummaryValue {
    pub(super) fn scalar(tag: &str, value: f32) -> Self {
        Self { tag: tag.to_owned(), kind: Some(Kind::SimpleValue(value)), metadata: None }
    }

    pub(super) fn histogram(tag: &str, histogram: Histogram) -> Self {
        Self { tag: tag.to_owned(), kind: Some(Kind::Histogram(histogram)), metadata: None }
    }

    pub(super) fn text(tag: &str, text: &str) -> Self {
        let tensor = Tensor::new(Tensor::STRING, 1, vec![text.as_bytes().to_vec()]);
        Self::of_plugin(tag, "text", Vec::new(), tensor)
    }

    /// The data is in the metadata; the tensor is empty.
    pub(super) fn hparams(tag: &str, data: &HparamsPluginData) -> Self {
        Self::of_plugin(tag, "hparams", data.encode_to_vec(), Tensor::new(Tensor::FLOAT, 0, Vec::new()))
    }

    fn of_plugin(tag: &str, plugin: &str, content: Vec<u8>, tensor: Tensor) -> Self {
        let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
        let metadata = Some(SummaryMetadata { plugin_data });
        Self { tag: tag.to_owned(), kind: Some(Kind::Tensor(tensor)), metadata }
    }
}
