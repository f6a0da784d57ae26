using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>The device behind the files that users really hold.</summary>
public sealed class DeviceFileTests : IDisposable
{
    private readonly VfioHost _host = new(new VfioHostOptions { RequestInterval = TimeSpan.FromMilliseconds(1) });
    private readonly FakeFunction _function = TestDevice.FullFunction();
    private readonly VfioPciCoreDevice _device;
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;
    private readonly EventDescriptor[] _events = Events.Make(4);

    public DeviceFileTests()
    {
        IommuGroup group = _host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice("0000:01:00.0", _function, group);
        _host.Register(_device, group);
        _container = _host.OpenContainer(Caller.Current);
        _group = _host.OpenGroup(group.Number, Caller.Current);
        _group.SetContainer(_container);
        _container.SetIommu(VfioIommuType.Type1V2);
        _file = _group.OpenDevice("0000:01:00.0");
    }

    public void Dispose()
    {
        _file.Dispose();
        _group.Dispose();
        _container.Dispose();
        _device.Dispose();
        _host.Dispose();
        Array.ForEach(_events, static e => e.Dispose());
        Assert.Equal("nothing", _host.Ledger.ToString());
    }

    [Theory]
    [Trait("Row", "I2")]
    [InlineData(5, 0, 0, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 2, 3, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 0, -1, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 0, 1, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 0, 1, VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 0, 1, (VfioIrqSetFlags)64 | VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger)]
    [InlineData(VfioIrqs.Msix, 0, 1, VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger)]
    public void SetIrqs_Malformed_IsEinval(int index, int start, int count, VfioIrqSetFlags flags) =>
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.SetIrqs(new VfioIrqRequest
        {
            Index = (uint)index,
            Start = (uint)start,
            Count = (uint)count,
            Flags = flags,
        })));

    [Fact]
    [Trait("Row", "I22")]
    public async Task Unregister_WhileOpen_SignalsTheRequestUntilClosed()
    {
        Bind(VfioIrqs.Req, _events[0]);
        Task unregister = Task.Run(() => _host.Unregister(_device));
        ulong rounds = 0;
        while (rounds < 3)
        {
            rounds += _events[0].Count();
            await Task.Yield();
        }

        Assert.False(unregister.IsCompleted);
        _file.Dispose();
        await unregister;
    }

    [Fact]
    [Trait("Row", "I23")]
    public void Close_OfTheLastFile_KeepsNoEventfd()
    {
        long before = _host.Ledger.Outstanding(ResourceKind.Descriptor);
        Bind(VfioIrqs.Msix, _events);
        Bind(VfioIrqs.Err, _events[0]);
        Bind(VfioIrqs.Req, _events[1]);
        Assert.Equal(before + 6, _host.Ledger.Outstanding(ResourceKind.Descriptor));
        _file.Dispose();
        Assert.Equal(before, _host.Ledger.Outstanding(ResourceKind.Descriptor));
        _function.Port.SignalVector(0);
        Assert.All(_events.Counts(), static n => Assert.Equal(0u, n));
    }

    [Fact]
    [Trait("Row", "S0-18")]
    public void Close_OfTheLastFile_ErrorsAndRequestsReachNobodyAndNothingIsKept()
    {
        long before = _host.Ledger.Outstanding(ResourceKind.Descriptor);
        VfioDeviceFile second = _group.OpenDevice("0000:01:00.0");
        Bind(VfioIrqs.Err, _events[0]);
        Bind(VfioIrqs.Req, _events[1]);
        Bind(VfioIrqs.Msix, _events[2], _events[3]);
        _file.Dispose();

        // Not the last file yet.
        Assert.True(_device.SignalError());
        Assert.Equal([1u, 0u, 0u, 0u], _events.Counts());
        second.Dispose();
        Assert.False(_device.SignalError());
        _function.Port.SignalVector(0);
        _function.Port.SignalVector(1);
        _host.Unregister(_device);
        Assert.All(_events.Counts(), static n => Assert.Equal(0u, n));
        Assert.Equal(before, _host.Ledger.Outstanding(ResourceKind.Descriptor));
        _host.Register(_device, _host.Groups[0]);
    }

    [Fact]
    [Trait("Row", "I4")]
    public void SetIrqs_FiveOfFourVectors_IsEinval() =>
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Bind(VfioIrqs.Msix, [.. _events, _events[0]])));

    [Fact]
    public void Access_FromManyThreads_RunsTheFunctionOneAtATime()
    {
        Assert.Equal(Errno.None, _file.Write(VfioRegions.Config, 4, [0x02, 0x00], out _));
        _function.KeepsWidths = true;
        const int Threads = 4;
        const int Rounds = 500;

        // A List is not safe for several writers: a lost entry would show two threads inside.
        Parallel.For(0, Threads, _ =>
        {
            byte[] word = new byte[4];
            for (int i = 0; i < Rounds; i++)
            {
                _file.Read(0, 0, word, out int _);
            }
        });
        Assert.Equal(Threads * Rounds, _function.Widths.Count);
    }

    private void Bind(int index, params EventDescriptor?[] events) => _file.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
        Index = (uint)index,
        Count = (uint)events.Length,
        Events = events,
    });
}
