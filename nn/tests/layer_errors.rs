//! What row-wise layers and chains of them refuse, and with what words.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use agon_nn::{
    Activate, Activation, BatchNorm2d, ByteMatrix, Conv2d, ConvConfig, ConvTranspose2d, ConvTransposeConfig,
    ImageShape, Init, Layer, LayoutBuilder, Linear, Matrix, NnError, OneHot, Packed, Parallel, Pool2d,
    PoolConfig, Residual, Scratch, Sequential, Tape,
};

fn message<T: std::fmt::Debug>(result: Result<T, NnError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn unsuitable_convolutions_are_refused() {
    let shape = ImageShape::new;
    let image = shape(4, 6, 6);
    let conv = |image, config| {
        let mut builder = LayoutBuilder::new();
        message(Conv2d::new(&mut builder, "l", image, config, Activation::Relu, Init::Zeros))
    };
    let ok = ConvConfig::new(2, 3);
    assert_eq!(conv(shape(0, 6, 6), ok.clone()), "image shape must be sizes of at least 1, got [0, 6, 6]");
    assert_eq!(conv(image, ConvConfig::new(0, 3)), "channels and groups must be at least 1, got 0 and 1");
    assert_eq!(conv(image, ok.clone().groups(0)), "channels and groups must be at least 1, got 2 and 0");
    assert_eq!(conv(image, ConvConfig::new(2, 0)), "kernel must be sizes of at least 1, got [0, 0]");
    assert_eq!(conv(image, ok.clone().stride(0)), "stride must be sizes of at least 1, got [0, 0]");
    assert_eq!(conv(image, ok.clone().dilation(0)), "dilation must be sizes of at least 1, got [0, 0]");
    assert_eq!(
        conv(image, ConvConfig::new(3, 3).groups(2)),
        "groups must be a divisor of input and output channels, got 2 for 4 and 3 channels"
    );
    assert_eq!(
        conv(image, ok.clone().dilation(3)),
        "kernel must be no larger than the padded image, got a span of 7 in 6"
    );
    let error = ok.padding(1).dilation(4).output_shape(image);
    assert_eq!(message(error), "kernel must be no larger than the padded image, got a span of 9 in 8");

    let transposed = |image, config| {
        let mut builder = LayoutBuilder::new();
        message(ConvTranspose2d::new(&mut builder, "l", image, config, Activation::Relu, Init::Zeros))
    };
    let ok = ConvTransposeConfig::new(2, 3, 2);
    assert_eq!(
        transposed(shape(4, 0, 6), ok.clone()),
        "image shape and channels must be sizes of at least 1, got [4, 0, 6] and 2 channels"
    );
    assert_eq!(
        transposed(image, ConvTransposeConfig::new(2, 3, 0)),
        "stride must be sizes of at least 1, got [0, 0]"
    );
    assert_eq!(
        transposed(image, ok.clone().output_padding(2)),
        "output_padding must be less than the stride, got [2, 2] with stride [2, 2]"
    );
    assert_eq!(
        transposed(shape(4, 1, 1), ok.padding(2)),
        "padding must be less than half of the output, got [2, 2] of [3, 3]"
    );

    let pool = |config| message(Pool2d::max(image, config));
    assert_eq!(pool(PoolConfig::new(0, 1, 0)), "kernel and stride must be at least 1, got 0 and 1");
    assert_eq!(pool(PoolConfig::new(2, 0, 0)), "kernel and stride must be at least 1, got 2 and 0");
    assert_eq!(pool(PoolConfig::new(3, 1, 2)), "padding must be at most half of the kernel, got 2 of 3");
    assert_eq!(pool(PoolConfig::new(7, 1, 0)), "kernel must be no larger than the padded image, got 7 in 6");
    let empty = BatchNorm2d::new(&mut LayoutBuilder::new(), "l", shape(1, 0, 2));
    assert_eq!(message(empty), "image shape must be sizes of at least 1, got [1, 0, 2]");
}

#[test]
fn chains_that_do_not_fit_are_refused() {
    let layer = |inputs, outputs| -> std::sync::Arc<dyn Layer> {
        Linear::new(&mut LayoutBuilder::new(), "l", inputs, outputs, Activation::Relu, Init::Zeros).into()
    };
    assert_eq!(message(Sequential::new(Vec::new())), "layers must be at least one layer, got none");
    assert_eq!(
        message(Sequential::new(vec![layer(2, 3), layer(4, 1)])),
        "the input of a layer must have 4 columns, got 3"
    );
    let (three, four) =
        (Sequential::new(vec![layer(2, 3)]).unwrap(), Sequential::new(vec![layer(4, 1)]).unwrap());
    assert_eq!(message(three.then(&four)), "the input of a layer must have 4 columns, got 3");
    assert_eq!(message(Residual::new(Vec::new())), "layers must be at least one layer, got none");
    assert_eq!(message(Residual::new(vec![layer(2, 3)])), "the input of a layer must have 2 columns, got 3");
    let parallel = |inputs, branches: Vec<(std::ops::Range<usize>, Vec<_>)>| {
        let named = branches.into_iter().map(|(columns, layers)| ("a".to_owned(), columns, layers));
        message(Parallel::new(inputs, named.collect()))
    };
    assert_eq!(parallel(3, vec![]), "branches must be chains of at least one layer, got an empty one");
    assert_eq!(
        parallel(3, vec![(0..2, vec![])]),
        "branches must be chains of at least one layer, got an empty one"
    );
    assert_eq!(parallel(3, vec![(2..4, vec![layer(2, 1)])]), "the input must have 4 columns, got 3");
    assert_eq!(
        parallel(3, vec![(0..3, vec![layer(2, 1)])]),
        "the input of a layer must have 2 columns, got 3"
    );
    let nothing: std::sync::Arc<dyn Layer> = Activate::new(Activation::Relu, &[0]).into();
    assert_eq!(parallel(3, vec![(1..1, vec![nothing])]), "columns must be at least one, got 1..1");
}

#[test]
fn matrices_and_parameters_that_do_not_fit_are_refused() {
    let image = ImageShape::new(2, 3, 3);
    let mut builder = LayoutBuilder::new();
    let init = Init::Zeros;
    let conv = Conv2d::new(&mut builder, "0", image, ConvConfig::new(2, 2), Activation::Relu, init).unwrap();
    let norm = BatchNorm2d::new(&mut builder, "1", conv.output_shape()).unwrap();
    let network = Sequential::new(vec![conv.into(), norm.clone().into()]).unwrap();
    let params = builder.build(0);
    let forward = |x: &Matrix| message(network.forward(&params, x, &mut Tape::new()));
    assert_eq!(forward(&Matrix::zeros(2, 9).unwrap()), "input must have 18 columns, got 9");
    let bytes = ByteMatrix::from_slice(1, 4, &[0; 4], 1.0).unwrap();
    let error = network.forward_input(&params, &bytes.into(), &mut Tape::new());
    assert_eq!(message(error), "input must have 18 columns, got 4");
    assert_eq!(
        message(ByteMatrix::from_slice(0, 4, &[], 1.0)),
        "byte matrix must not be empty, got shape [0, 4]"
    );
    assert_eq!(message(ByteMatrix::from_slice(2, 2, &[0; 3], 1.0)), "byte matrix must hold 4 values, got 3");

    // The first twenty-two values are all that is learned: the norm's buffers are missing.
    let mut builder = LayoutBuilder::new();
    builder.add("w", &[22], init);
    let (short, x) = (builder.build(0), Matrix::zeros(2, 18).unwrap());
    let expected = format!("parameters must hold {} values, got 22", params.len());
    assert_eq!(message(network.forward(&short, &x, &mut Tape::new())), expected);
    assert_eq!(message(Packed::new(&network, &short)), expected);

    let train = |rows: usize, columns: usize| {
        let x = Matrix::zeros(rows, columns).unwrap();
        message(norm.forward_train(&params, &x, &mut Tape::new()))
    };
    assert_eq!(train(2, 9), "input must have 8 columns, got 9");
    let mut builder = LayoutBuilder::new();
    let pixel = BatchNorm2d::new(&mut builder, "l", ImageShape::new(3, 1, 1)).unwrap();
    let error = pixel.forward_train(&builder.build(0), &Matrix::zeros(1, 3).unwrap(), &mut Tape::new());
    assert_eq!(message(error), "batch must be more than one value for each channel, got one");

    // No categories, no outputs.
    let nothing = Sequential::new(vec![OneHot::new(&[0]).into()]).unwrap();
    let params = LayoutBuilder::new().build(0);
    let packed = Packed::new(&nothing, &params).unwrap();
    let error = nothing.infer(&packed, &[0.0], 1, &mut Scratch::new(), &mut []);
    assert_eq!(message(error), "output must not be empty, got shape [1, 0]");
    let error = nothing.forward(&params, &Matrix::zeros(1, 1).unwrap(), &mut Tape::new());
    assert_eq!(message(error), "matrix must not be empty, got shape [1, 0]");
}
