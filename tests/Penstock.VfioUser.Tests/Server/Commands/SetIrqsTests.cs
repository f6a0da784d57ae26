using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 8, DEVICE_SET_IRQS, with the rows on ranges with start > 0 and on one eventfd array for each index.</summary>
public sealed class SetIrqsTests : IDisposable
{
    private const uint None = 1;
    private const uint Bool = 2;
    private const uint Eventfd = 4;
    private const uint Mask = 8;
    private const uint Unmask = 16;
    private const uint Trigger = 32;
    private const uint Intx = 0;
    private const uint Msi = 1;
    private const uint Msix = 2;
    private const uint Err = 3;
    private const uint Req = 4;

    private readonly ServedFunction _served = new();
    private readonly EventDescriptor[] _events = Handles.Events(WireFunction.Vectors);
    private readonly WireClient _client;

    public SetIrqsTests() => _client = _served.ConnectEnabled();

    public void Dispose()
    {
        _client.Dispose();
        _served.NextEnd();
        _served.AssertBalanced();
        _served.Dispose();
        _events.DisposeAll();
    }

    [Fact]
    public void SetIrqs_EventfdsInChunksOfSixteen_EachVectorReachesItsOwn()
    {
        BindAllInChunks();
        for (int vector = 0; vector < WireFunction.Vectors; vector++)
        {
            _served.Function.Port.SignalVector(vector);
            Assert.Equal([vector], Signalled());
        }
    }

    [Theory]
    [InlineData(0, 16)]
    [InlineData(16, 16)]
    [InlineData(32, 16)]
    [InlineData(4, 4)]
    [InlineData(47, 1)]
    [InlineData(1, 40)]
    [Trait("Row", "VU-F3")]
    public void SetIrqs_AbsentChunk_DisarmsExactlyItsRange(uint start, uint count)
    {
        BindAllInChunks();
        Succeed(Eventfd | Trigger, Msix, start, count);
        SignalAll();
        Assert.Equal(Enumerable.Range(0, WireFunction.Vectors).Where(v => v < start || v >= start + count), Signalled());
    }

    [Fact]
    public void SetIrqs_QemusMsixEnable_WorksStepByStep()
    {
        Bind(Intx, 0, 1);
        Succeed(None | Trigger, Intx, 0, 0);
        Succeed(Eventfd | Trigger, Msix, 0, 1);
        Assert.True(_served.Function.Port.UsesVectors);
        Succeed(None | Trigger, Msix, 0, 0);
        Bind(Msix, 0, 1);
        Bind(Msix, 0, 3);
        SignalAll();
        Assert.Equal([0, 1, 2], Signalled());
        Succeed(None | Trigger, Msix, 0, 0);
        SignalAll();
        Assert.Empty(Signalled());
        Bind(Intx, 0, 1);
        _served.Function.Port.SetIntx(true);
        Assert.Equal([0], Signalled());
        _served.Function.Port.SetIntx(false);
    }

    [Fact]
    public void SetIrqs_Intx_IsMaskedBySignalAndComesAgainAfterUnmask()
    {
        Bind(Intx, 0, 1);
        _served.Function.Port.SetIntx(true);
        Assert.Equal(1UL, _events[0].Drain());
        Assert.Equal(8, _client.Read(Cmd.ConfigRegion, 6, 1)[0] & 8);
        _served.Function.Port.SetIntx(false);
        _served.Function.Port.SetIntx(true);
        Assert.Equal(0UL, _events[0].Drain());
        Succeed(None | Unmask, Intx, 0, 1);
        Assert.Equal(1UL, _events[0].Drain());
        _served.Function.Port.SetIntx(false);
        Succeed(None | Unmask, Intx, 0, 1);
        Assert.Equal(0UL, _events[0].Drain());
        Succeed(None | Mask, Intx, 0, 1);
        _served.Function.Port.SetIntx(true);
        Assert.Equal(0UL, _events[0].Drain());
        Succeed(Bool | Unmask, Intx, 0, 1, [1]);
        Assert.Equal(1UL, _events[0].Drain());
    }

    [Fact]
    [Trait("Row", "VU-F4")]
    public void SetIrqs_EachIndex_HasEventfdsOfItsOwn()
    {
        Bind(Err, 0, 1, first: 40);
        Bind(Req, 0, 1, first: 41);
        Bind(Msix, 0, 2);
        Assert.Equal(Errno.EINVAL, Try(Eventfd | Trigger, Intx, 0, 1, [], [_events[10].Number()]));
        Assert.Equal(Errno.EINVAL, Try(Eventfd | Trigger, Msi, 0, 1, [], [_events[10].Number()]));
        SignalAll();
        Assert.Equal([0, 1], Signalled());
        Succeed(None | Trigger, Err, 0, 1);
        Assert.Equal([40], Signalled());
        Succeed(None | Trigger, Req, 0, 1);
        Assert.Equal([41], Signalled());
        Succeed(None | Trigger, Msix, 0, 0);
        Bind(Msi, 0, 4, first: 20);
        SignalAll();
        Assert.Equal([20, 21, 22, 23], Signalled());
        Succeed(Eventfd | Trigger, Err, 0, 1);
        Assert.Equal(Errno.EINVAL, Try(None | Trigger, Err, 0, 1));
    }

    [Fact]
    public void SetIrqs_TriggerByNoneOrBool_SignalsExactlyThose()
    {
        Bind(Msix, 0, 8);
        Succeed(None | Trigger, Msix, 2, 3);
        Assert.Equal([2, 3, 4], Signalled());
        Succeed(Bool | Trigger, Msix, 1, 4, [0, 1, 0, 255]);
        Assert.Equal([2, 4], Signalled());
    }

    [Fact]
    public void SetIrqs_Replaced_OldEventfdIsSilent()
    {
        Bind(Msix, 0, 1, first: 0);
        Bind(Msix, 0, 1, first: 5);
        _served.Function.Port.SignalVector(0);
        Assert.Equal([5], Signalled());
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(None)]
    [InlineData(Trigger)]
    [InlineData(None | Bool | Trigger)]
    [InlineData(None | Eventfd | Trigger)]
    [InlineData(None | Mask | Trigger)]
    [InlineData(None | Mask | Unmask)]
    [InlineData(None | Trigger | 64)]
    [InlineData(0xffffffff)]
    public void SetIrqs_NotOneKindOfDataAndOneAction_IsEinval(uint flags)
    {
        Bind(Msix, 0, 2);
        Assert.Equal(Errno.EINVAL, Try(flags, Msix, 0, 1));
    }

    [Theory]
    [InlineData(None | Trigger, 5u, 0u, 1u)]
    [InlineData(Eventfd | Trigger, 5u, 0u, 1u)]
    [InlineData(None | Trigger, uint.MaxValue, 0u, 1u)]
    [InlineData(None | Trigger, Msix, 48u, 0u)]
    [InlineData(None | Trigger, Msix, 48u, 1u)]
    [InlineData(None | Trigger, Msix, 47u, 2u)]
    [InlineData(None | Trigger, Msix, 1u, uint.MaxValue)]
    [InlineData(None | Trigger, Msix, uint.MaxValue, 2u)]
    [InlineData(Eventfd | Trigger, Msix, 0u, 49u)]
    [InlineData(Eventfd | Trigger, Msix, 0u, uint.MaxValue)]
    [InlineData(Eventfd | Trigger, Msix, 40u, 9u)]
    [InlineData(None | Trigger, Msix, 1u, 0u)]
    [InlineData(None | Mask, Msix, 0u, 0u)]
    [InlineData(Bool | Trigger, Msix, 0u, 0u)]
    [InlineData(Eventfd | Trigger, Msix, 0u, 0u)]
    [InlineData(None | Mask, Err, 0u, 1u)]
    [InlineData(None | Unmask, Req, 0u, 1u)]
    [InlineData(None | Trigger, Err, 0u, 2u)]
    [InlineData(None | Trigger, Req, 1u, 1u)]
    [InlineData(Eventfd | Trigger, Err, 0u, 2u)]
    [InlineData(None | Trigger, Intx, 1u, 1u)]
    [InlineData(None | Trigger, Intx, 0u, 2u)]
    public void SetIrqs_IndexRangeOrCount_IsEinvalAndChangesNothing(uint flags, uint index, uint start, uint count)
    {
        Bind(Msix, 0, 2);
        Bind(Err, 0, 1, first: 40);
        Assert.Equal(Errno.EINVAL, Try(flags, index, start, count));
        SignalAll();
        Assert.Equal([0, 1], Signalled());
        Succeed(None | Trigger, Err, 0, 1);
        Assert.Equal([40], Signalled());
    }

    [Theory]
    [InlineData(2u, 1)]
    [InlineData(2u, 3)]
    [InlineData(2u, 0)]
    public void SetIrqs_BoolBytesNotEqualToCount_IsEinval(uint count, int bytes)
    {
        Bind(Msix, 0, 2);
        Assert.Equal(Errno.EINVAL, Try(Bool | Trigger, Msix, 0, count, new byte[bytes]));
        Assert.Empty(Signalled());
    }

    [Theory]
    [InlineData(None)]
    [InlineData(Eventfd)]
    public void SetIrqs_BytesWithOtherData_IsEinval(uint kind)
    {
        Bind(Msix, 0, 2);
        Assert.Equal(Errno.EINVAL, Try(kind | Trigger, Msix, 0, 1, [1]));
    }

    [Theory]
    [InlineData(None | Trigger, 1u, 1)]
    [InlineData(Bool | Trigger, 1u, 1)]
    [InlineData(Eventfd | Trigger, 2u, 1)]
    [InlineData(Eventfd | Trigger, 1u, 2)]
    [InlineData(Eventfd | Trigger, 17u, 17)]
    [InlineData(None | Trigger, 0u, 1)]
    public void SetIrqs_DescriptorsOfAnotherNumberOrKind_IsEinval(uint flags, uint count, int descriptors)
    {
        Bind(Msix, 0, 2);
        byte[] data = (flags & Bool) != 0 ? new byte[count] : [];
        Assert.Equal(Errno.EINVAL, Try(flags, Msix, 0, count, data, _events[10..(10 + descriptors)].Numbers()));
        SignalAll();
        Assert.Equal([0, 1], Signalled());
    }

    [Theory]
    [InlineData(0u, 20)]
    [InlineData(19u, 20)]
    [InlineData(20u, 0)]
    [InlineData(20u, 19)]
    [Trait("Row", "VU-F7")]
    public void SetIrqs_TooSmall_IsEinval(uint argsz, int length)
    {
        byte[] body = WireClient.Irqs(None | Trigger, Msix, 0, 0, argsz);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.SetIrqs, body[..length]));
    }

    [Theory]
    [InlineData(Intx)]
    [InlineData(Msi)]
    [InlineData(Msix)]
    [InlineData(Err)]
    public void SetIrqs_TriggerOfNothingEnabled_IsEinval(uint index) =>
        Assert.Equal(Errno.EINVAL, Try(None | Trigger, index, 0, 1));

    [Fact]
    public void SetIrqs_LargerArgumentSize_IsAccepted() => _client.Succeed(Cmd.SetIrqs, WireClient.Irqs(Eventfd | Trigger, Msix, 0, 1, 4096));

    [Fact]
    public void SetIrqs_Success_HasNoPayload() =>
        Assert.Empty(_client.Call(Cmd.SetIrqs, WireClient.Irqs(Eventfd | Trigger, Msix, 0, 1)).Body);

    private void BindAllInChunks()
    {
        for (int start = 0; start < WireFunction.Vectors; start += 16)
        {
            Bind(Msix, start, 16, start);
        }
    }

    private void Bind(uint index, int start, int count, int first = 0) =>
        Assert.Equal(Errno.None, Try(Eventfd | Trigger, index, (uint)start, (uint)count, [], _events[first..(first + count)].Numbers()));

    private void Succeed(uint flags, uint index, uint start, uint count, byte[]? data = null) =>
        Assert.Equal(Errno.None, Try(flags, index, start, count, data));

    private Errno Try(uint flags, uint index, uint start, uint count, byte[]? data = null, params int[] descriptors) =>
        _client.Try(Cmd.SetIrqs, [.. WireClient.Irqs(flags, index, start, count), .. data ?? []], descriptors);

    private void SignalAll()
    {
        for (int vector = 0; vector < WireFunction.Vectors; vector++)
        {
            _served.Function.Port.SignalVector(vector);
        }
    }

    private List<int> Signalled() => [.. Enumerable.Range(0, _events.Length).Where(i => _events[i].Drain() == 1)];
}
