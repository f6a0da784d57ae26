using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class DmaPortTests : IDisposable
{
    private const ulong Page = 4096;

    private readonly Rig _rig = new();
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly FakeChannel _channel = new(0x10000, 2 * (int)Page);

    public DmaPortTests()
    {
        (_container, _group) = _rig.Ready();
        var message = new MessageMemory(_channel, 0x10000, 2 * Page);
        _container.MapDma(0x10000, 2 * Page, DmaAccess.ReadWrite, message, 0);
        message.Release();
    }

    public void Dispose()
    {
        _group.Dispose();
        _container.Dispose();
        _rig.Dispose();
    }

    [Fact]
    public async Task Access_BusMasterOff_EACCES()
    {
        _rig.Port.BusMasterEnabled = false;
        Assert.Equal(Errno.EACCES, _rig.Port.Read(0x10000, new byte[1]));
        Assert.Equal(Errno.EACCES, _rig.Port.Write(0x10000, [1]));
        Assert.Equal(Errno.EACCES, await _rig.Port.ReadAsync(0x10000, new byte[1]));
        Assert.Equal(0, _channel.Messages);
    }

    [Fact]
    public void Access_MessageMemory_GoesThroughTheChannel()
    {
        Assert.Equal(Errno.None, _rig.Port.Write(0x10ffe, [1, 2, 3, 4]));
        Assert.Equal([1, 2, 3, 4], _channel.Bytes.AsSpan(0xffe, 4).ToArray());
        byte[] data = new byte[4];
        Assert.Equal(Errno.None, _rig.Port.Read(0x10ffe, data));
        Assert.Equal([1, 2, 3, 4], data);
        using DmaScope scope = _rig.Port.Enter();
        Assert.False(scope.TryBorrow(0x10000, 1, DmaAccess.Read, out _));
    }

    [Fact]
    public void Read_MessageMemoryInRegisterCall_EDEADLK()
    {
        using StrandScope scope = _rig.Strand.EnterRegisterCall();
        Assert.Equal(Errno.EDEADLK, _rig.Port.Read(0x10000, new byte[1]));
        Assert.Equal(0, _channel.Messages);
    }

    [Fact]
    public async Task ReadAsync_MessageMemoryAcrossOtherMemory_CopiesAll()
    {
        ProcessMemory memory = _rig.Memory(Page);
        _container.MapDma(0x12000, Page, DmaAccess.Read, memory, 0);
        memory.Span(0, 1)[0] = 8;
        _channel.Bytes[^1] = 7;
        byte[] data = new byte[2];
        Assert.Equal(Errno.None, await _rig.Port.ReadAsync(0x11fff, data));
        Assert.Equal([7, 8], data);
        Assert.Equal(Errno.EPERM, await _rig.Port.WriteAsync(0x11fff, data));
        Assert.Equal(Errno.EFAULT, await _rig.Port.ReadAsync(0x12fff, data));
        memory.Release();
    }

    [Fact]
    public void PostedWork_MessageDma_LetsRegisterCallsInMeanwhile()
    {
        // The peer answers the DMA only after it got an answer to a register access, as a VM with one virtual CPU does.
        using var waiting = new ManualResetEventSlim();
        using var registerDone = new ManualResetEventSlim();
        using var done = new ManualResetEventSlim();
        _channel.BeforeAnswer = () =>
        {
            waiting.Set();
            registerDone.Wait();
        };
        Errno result = Errno.EIO;
        bool onStrandAfterwards = false;
        _rig.Port.Post(() =>
        {
            result = _rig.Port.Read(0x10000, new byte[16]);
            onStrandAfterwards = _rig.Strand.IsCurrent;
            done.Set();
        });
        waiting.Wait();
        using (_rig.Strand.EnterRegisterCall())
        {
            Assert.True(_rig.Strand.InRegisterCall);
        }

        registerDone.Set();
        done.Wait();
        Assert.Equal(Errno.None, result);
        Assert.True(onStrandAfterwards);
    }
}
