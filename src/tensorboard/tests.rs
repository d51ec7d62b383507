use super::proto::Kind;
use super::*;

/// Reads the records of a file strictly, by the format's definition.
fn read_events(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked_crc32c(&rest[..8]).to_le_bytes());
        let message = &rest[12..12 + len];
        assert_eq!(rest[12 + len..16 + len], masked_crc32c(message).to_le_bytes());
        events.push(Event::decode(message).unwrap());
        rest = &rest[16 + len..];
    }
    events
}

fn scalar_of(event: &Event) -> (&str, i64, f64, f32) {
    let Some(What::Summary(summary)) = &event.what else { panic!("not a summary: {event:?}") };
    let Some(Kind::SimpleValue(value)) = summary.value[0].kind else { panic!("no value") };
    (&summary.value[0].tag, event.step, event.wall_time, value)
}

#[test]
fn checksums_are_masked_crc32c() {
    // RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8a9136aa; rotated right by 15 bits 6d551522.
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(masked_crc32c(&[0; 32]), 0xfd7fffa);
}

/// The bytes of protocol buffers, by hand: field 1 double, field 2 varint, field 5 a summary.
#[test]
fn events_are_protocol_buffers() {
    let event = Event::summary(1.0, 300, SummaryValue::scalar("a/b", 0.0));
    let expected = [
        &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..],
        &[0x10, 0xac, 0x02],
        &[0x2a, 12, 0x0a, 10, 0x0a, 3, b'a', b'/', b'b', 0x15, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(event.encode_to_vec(), expected);
}

#[test]
fn scalars_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.out.tfevents.1700000000.host.1");
    let mut writer = EventWriter::create(&path).unwrap();
    writer.scalar("charts/episodic_return", 2048, 1.7e9, 21.5).unwrap();
    writer.scalar("losses/value_loss", 4096, 1.7e9 + 1.0, 0.0).unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.path(), path);

    let events = read_events(&path);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
    assert_eq!(scalar_of(&events[1]), ("charts/episodic_return", 2048, 1.7e9, 21.5));
    assert_eq!(scalar_of(&events[2]), ("losses/value_loss", 4096, 1.7e9 + 1.0, 0.0));
}

#[test]
fn appending_continues_after_the_last_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tfevents");
    let mut writer = EventWriter::append(&path).unwrap();
    writer.scalar("x", 1, 0.0, 1.0).unwrap();
    drop(writer);
    let one_record = std::fs::read(&path).unwrap();

    // Every way in which a second record can be torn, and damage in the middle of it.
    let mut writer = EventWriter::append(&path).unwrap();
    writer.scalar("x", 2, 0.0, 2.0).unwrap();
    drop(writer);
    let two_records = std::fs::read(&path).unwrap();
    for end in one_record.len()..two_records.len() {
        std::fs::write(&path, &two_records[..end]).unwrap();
        drop(EventWriter::append(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), one_record, "torn after {end} bytes");
    }
    for position in one_record.len()..two_records.len() {
        let mut damaged = two_records.clone();
        damaged[position] ^= 0xff;
        std::fs::write(&path, &damaged).unwrap();
        drop(EventWriter::append(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), one_record, "damaged at byte {position}");
    }

    let mut writer = EventWriter::append(&path).unwrap();
    writer.scalar("x", 3, 5.0, 3.0).unwrap();
    drop(writer);
    let events = read_events(&path);
    assert_eq!(events.len(), 3);
    assert_eq!(scalar_of(&events[2]), ("x", 3, 5.0, 3.0));
}

#[test]
fn other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.csv");
    std::fs::write(&path, "iteration,global_step\n").unwrap();
    let error = EventWriter::append(&path).unwrap_err();
    assert_eq!(error.source.to_string(), "not a TensorBoard event file");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "iteration,global_step\n");
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("tfevents");
    let error = EventWriter::create(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create event file {}", path.display()));
    assert!(EventWriter::append(&path).is_err());
}

/// The bytes that TensorBoard 2.21's own Python writes, recorded: `hparams_pb` without a group, a `SessionEndInfo`,
/// `make_tensor_proto` with the text plugin's metadata, and a `HistogramProto`.
#[test]
fn other_events_are_those_of_tensorboards_own_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tfevents");
    let mut writer = EventWriter::create(&path).unwrap();
    // One at a time: the order of a map is nobody's promise.
    writer.hparams(&[("a".to_owned(), Hparam::Number(0.99))], 5.0).unwrap();
    writer.hparams(&[("b".to_owned(), Hparam::Text("ppo".to_owned()))], 5.0).unwrap();
    writer.hparams(&[("c".to_owned(), Hparam::Bool(true))], 5.0).unwrap();
    writer.hparams_end(7.0).unwrap();
    writer.text("config", 3, 1.0, "    a = 1").unwrap();
    drop(writer);
    let hex = |event: &Event| -> String {
        let event = Event { wall_time: 1.0, ..event.clone() };
        event.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let events: Vec<String> = read_events(&path)[1..].iter().map(hex).collect();
    assert_eq!(
        events,
        [
            "09000000000000f03f2a520a500a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f42060801120212004a\
             280a260a0768706172616d73121b1a190a0e0a0161120911ae47e17a14aeef3f290000000000001440",
            "09000000000000f03f2a4e0a4c0a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f42060801120212004a\
             240a220a0768706172616d7312171a150a0a0a016212051a0370706f290000000000001440",
            "09000000000000f03f2a4b0a490a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e666f42060801120212004a\
             210a1f0a0768706172616d7312141a120a070a016312022001290000000000001440",
            "09000000000000f03f2a420a400a1a5f68706172616d735f2f73657373696f6e5f656e645f696e666f42060801120212004a1a0a180a\
             0768706172616d73120d220b0801110000000000001c40",
            "09000000000000f03f10032a290a270a06636f6e6669674213080712041202080142092020202061203d20314a080a060a0474657874",
        ]
        .map(|text| text.replace(' ', ""))
    );
    let histogram = Histogram {
        min: -1.0,
        max: 3.0,
        num: 4.0,
        sum: 4.0,
        sum_squares: 12.0,
        bucket_limit: vec![1.0, 3.0],
        bucket: vec![1.0, 3.0],
    };
    assert_eq!(
        hex(&Event::summary(1.0, 3, SummaryValue::histogram("w", histogram))),
        "09000000000000f03f10032a580a560a01772a5109000000000000f0bf110000000000000840190000000000001040210000000000001040\
         2900000000000028403210000000000000f03f00000000000008403a10000000000000f03f0000000000000840"
            .replace(' ', "")
    );
}

#[test]
fn histograms_count_every_finite_number_once() {
    let values: Vec<f32> = (0..=60).map(|i| i as f32 * 0.5).chain([f32::NAN, f32::INFINITY]).collect();
    let histogram = Histogram::of(&values).unwrap();
    assert_eq!((histogram.min, histogram.max, histogram.num, histogram.sum), (0.0, 30.0, 61.0, 915.0));
    assert_eq!(histogram.bucket.len(), HISTOGRAM_BUCKETS);
    assert_eq!(histogram.bucket.iter().sum::<f64>(), 61.0);
    // Two in each, and the highest in the last.
    assert_eq!((histogram.bucket[0], histogram.bucket[29]), (2.0, 3.0));
    assert_eq!((histogram.bucket_limit[0], histogram.bucket_limit[29]), (1.0, 30.0));
    let one = Histogram::of(&[2.0, 2.0]).unwrap();
    assert_eq!((one.bucket, one.bucket_limit), (vec![2.0], vec![2.0]));
    assert!(Histogram::of(&[f32::NAN]).is_none() && Histogram::of(&[]).is_none());
}
