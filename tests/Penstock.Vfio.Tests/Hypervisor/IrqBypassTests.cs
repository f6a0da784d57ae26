using Penstock.Interop;

namespace Penstock.Vfio.Tests.Hypervisor;

public sealed class IrqBypassTests
{
    private const ulong Key = 7;

    private readonly IrqBypass _manager = new();
    private readonly List<string> _trace = [];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "B1")]
    public void Register_EitherFirst_ConnectsWithTheSecond(bool consumerFirst)
    {
        var producer = new Producer(_trace);
        var consumer = new Consumer(_trace);
        Register(producer, consumer, consumerFirst);
        Assert.Equal(["producer stop", "consumer stop", "producer add", "consumer add", "consumer start", "producer start"], _trace);
        Assert.Same(consumer, producer.Consumer);
        Assert.Same(producer, consumer.Producer);
        Assert.True(producer.TryDeliver());
        Assert.Equal(1, consumer.Delivered);
    }

    [Fact]
    public void Register_OtherKeys_DoesNotConnect()
    {
        var producer = new Producer(_trace);
        _manager.Register(producer);
        _manager.Register(new Consumer(_trace, Key + 1));
        Assert.Empty(_trace);
        Assert.Null(producer.Consumer);
        Assert.False(producer.TryDeliver());
    }

    [Fact]
    [Trait("Row", "B2")]
    public void Register_KeyUsed_EBUSY()
    {
        var producer = new Producer(_trace);
        var consumer = new Consumer(_trace);
        Register(producer, consumer, consumerFirst: false);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _manager.Register(new Producer(_trace))));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _manager.Register(new Consumer(_trace))));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _manager.Register(producer)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _manager.Register(consumer)));
        Assert.Same(consumer, producer.Consumer);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Register_ConsumerRefuses_SecondIsAbsentAndFirstStays(bool consumerFirst)
    {
        var producer = new Producer(_trace);
        var consumer = new Consumer(_trace) { Error = Errno.EIO };
        Assert.Equal(Errno.EIO, ErrnoOf(() => Register(producer, consumer, consumerFirst)));
        Assert.Equal(
            ["producer stop", "consumer stop", "producer add", "consumer add", "producer remove", "consumer start", "producer start"],
            _trace);
        Assert.Equal((consumerFirst ? 0 : 1, consumerFirst ? 1 : 0), (_manager.Producers, _manager.Consumers));
        Assert.False(producer.TryDeliver());
        Assert.Null(consumer.Producer);

        // The first one is as it was: the next of its kind is refused, the next of the other kind connects.
        consumer.Error = Errno.None;
        if (consumerFirst)
        {
            _manager.Register(new Producer(_trace));
        }
        else
        {
            _manager.Register(new Consumer(_trace));
        }

        Assert.Equal((1, 1), (_manager.Producers, _manager.Consumers));
    }

    [Fact]
    [Trait("Row", "B4")]
    public void Unregister_AfterFailedRegistration_DoesNothing()
    {
        var producer = new Producer(_trace);
        var consumer = new Consumer(_trace) { Error = Errno.EIO };
        _manager.Register(producer);
        Assert.Equal(Errno.EIO, ErrnoOf(() => _manager.Register(consumer)));
        _trace.Clear();
        _manager.Unregister(consumer);
        Assert.Empty(_trace);
        Assert.Equal((1, 0), (_manager.Producers, _manager.Consumers));

        var second = new Producer(_trace);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _manager.Register(second)));
        _manager.Unregister(second);
        Assert.Equal(1, _manager.Producers);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "B5")]
    public void Unregister_EitherOfTwoConnected_DisconnectsOnceAndTheOtherStays(bool consumerGoes)
    {
        var producer = new Producer(_trace);
        var consumer = new Consumer(_trace);
        Register(producer, consumer, consumerFirst: false);
        _trace.Clear();
        for (int i = 0; i < 2; i++)
        {
            if (consumerGoes)
            {
                _manager.Unregister(consumer);
            }
            else
            {
                _manager.Unregister(producer);
            }
        }

        Assert.Equal(["producer stop", "consumer stop", "consumer remove", "producer remove", "consumer start", "producer start"], _trace);
        Assert.Equal((consumerGoes ? 1 : 0, consumerGoes ? 0 : 1), (_manager.Producers, _manager.Consumers));
        Assert.False(producer.TryDeliver());
        Assert.Null(consumer.Producer);
    }

    [Fact]
    public async Task Unregister_WhileDelivering_ReturnsWhenNothingIsOnItsWay()
    {
        var producer = new Producer(_trace);
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        var consumer = new Consumer(_trace)
        {
            OnDeliver = () =>
            {
                inside.Set();
                leave.Wait(TimeSpan.FromMinutes(2));
            },
        };
        Register(producer, consumer, consumerFirst: false);
        Task<bool> delivery = Task.Run(producer.TryDeliver);
        Assert.True(inside.Wait(TimeSpan.FromMinutes(2)));
        Task unregister = Task.Run(() => _manager.Unregister(consumer));
        await Task.WhenAny(unregister, Task.Delay(50));
        Assert.False(unregister.IsCompleted);
        leave.Set();
        await unregister.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.True(await delivery);
    }

    private void Register(Producer producer, Consumer consumer, bool consumerFirst)
    {
        if (consumerFirst)
        {
            _manager.Register(consumer);
            _manager.Register(producer);
        }
        else
        {
            _manager.Register(producer);
            _manager.Register(consumer);
        }
    }

    private sealed class Producer(List<string> trace, ulong key = Key) : IrqBypassProducer(key, 3)
    {
        protected internal override void AddConsumer(IrqBypassConsumer consumer) => trace.Add("producer add");

        protected internal override void RemoveConsumer(IrqBypassConsumer consumer) => trace.Add("producer remove");

        protected internal override void Stop() => trace.Add("producer stop");

        protected internal override void Start() => trace.Add("producer start");
    }

    private sealed class Consumer(List<string> trace, ulong key = Key) : IrqBypassConsumer(key)
    {
        private int _delivered;

        public Errno Error { get; set; }

        public Action? OnDeliver { get; set; }

        public int Delivered => _delivered;

        protected internal override void AddProducer(IrqBypassProducer producer)
        {
            trace.Add("consumer add");
            if (Error != Errno.None)
            {
                throw new VfioException(Error, "joining", "the test wants it");
            }
        }

        protected internal override void RemoveProducer(IrqBypassProducer producer) => trace.Add("consumer remove");

        protected internal override void Stop() => trace.Add("consumer stop");

        protected internal override void Start() => trace.Add("consumer start");

        protected internal override void Deliver()
        {
            Interlocked.Increment(ref _delivered);
            OnDeliver?.Invoke();
        }
    }
}
