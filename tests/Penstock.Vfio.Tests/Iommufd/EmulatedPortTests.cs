using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>The port of an emulated device on an iommufd when it is stopped, reset or logged in the middle of a copy.</summary>
public sealed class EmulatedPortTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;

    private readonly IommufdRig _rig = new();
    private readonly EmulatedDevice _device = new("mediated");
    private readonly VfioCdevFile _file;
    private readonly Strand _strand;
    private readonly DmaPort _port;
    private readonly Hooked _first = new();
    private readonly Hooked _second = new();

    public EmulatedPortTests()
    {
        _rig.Rig.Host.RegisterEmulated(_device);
        _file = _rig.Rig.Host.OpenCdev(_device.Name, Rig.User, files: _rig.Files);
        _strand = new Strand("emulated", _rig.Rig.Host.Ledger);
        _port = new DmaPort(_device, _strand) { BusMasterEnabled = true };
        Ioas ioas = _rig.Context.AllocateIoas();
        ioas.Map(_first, 0, Page, DmaAccess.ReadWrite, 0);
        ioas.Map(_second, 0, Page, DmaAccess.ReadWrite, Page);
        _file.Bind(_rig.Context);
        _file.Attach(ioas.Id);
    }

    public void Dispose()
    {
        _file.Dispose();
        _strand.Dispose();
        _first.Release();
        _second.Release();
        _rig.Rig.Host.Unregister(_device);
        _rig.Dispose();
    }

    [Fact]
    public void Write_StoppedBetweenPieces_TheRestIsNotWritten()
    {
        _first.OnWrite = _port.Suspend;
        Assert.Equal(Errno.EBUSY, _port.Write(0, new byte[2 * Page]));
        Assert.Equal((1, 0), (_first.Writes, _second.Writes));
    }

    [Fact]
    public void Write_BusMasterOffBetweenPieces_TheRestIsNotWritten()
    {
        _first.OnWrite = () => _port.BusMasterEnabled = false;
        Assert.Equal(Errno.EACCES, _port.Write(0, new byte[2 * Page]));
        Assert.Equal((1, 0), (_first.Writes, _second.Writes));
    }

    [Fact]
    public async Task WriteAsync_StoppedBetweenPieces_TheRestWaits()
    {
        _first.OnWrite = _port.Suspend;
        Task<Errno> writing = _port.WriteAsync(0, new byte[2 * Page]).AsTask();
        Assert.Equal((1, 0), (_first.Writes, _second.Writes));
        Assert.False(writing.IsCompleted);
        _port.Resume();
        Assert.Equal(Errno.None, await writing.WaitAsync(TimeSpan.FromMinutes(1)));
        Assert.Equal((1, 1), (_first.Writes, _second.Writes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Write_ResetBetweenPieces_TheRestIsNotWritten(bool awaited)
    {
        _first.OnWrite = _port.CancelTransfers;
        byte[] data = new byte[2 * Page];
        Assert.Equal(Errno.ECANCELED, awaited ? await _port.WriteAsync(0, data) : _port.Write(0, data));
        Assert.Equal((1, 0), (_first.Writes, _second.Writes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void SuspendOrLog_WhileACopyIsInside_WaitsForIt(bool log)
    {
        using var inside = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        bool written = false;
        _first.OnWrite = () =>
        {
            inside.Set();
            goOn.Wait();
            Volatile.Write(ref written, true);
        };
        var copying = new Thread(() => _port.Write(0, new byte[Page]));
        copying.Start();
        inside.Wait();
        bool sawIt = false;
        var stopping = new Thread(() =>
        {
            if (log)
            {
                _port.Logging.Start!([new IovaRange(0, Page - 1)], Page);
            }
            else
            {
                _port.Suspend();
            }

            sawIt = Volatile.Read(ref written);
        });
        stopping.Start();
        stopping.Join(50);
        goOn.Set();
        copying.Join();
        stopping.Join();
        Assert.True(sawIt);
    }

    [Fact]
    public void Suspend_AfterACopy_ItsPagesAreInTheReport()
    {
        _port.Logging.Start!([new IovaRange(0, (2 * Page) - 1)], Page);
        using var inside = new ManualResetEventSlim();
        _first.OnWrite = inside.Set;
        var copying = new Thread(() => _port.Write(0, new byte[2 * Page]));
        copying.Start();
        inside.Wait();
        _port.Suspend();
        var pages = new List<ulong>();
        _port.Logging.Report!(new IovaRange(0, (2 * Page) - 1), run => pages.Add(run.First));
        int touched = _first.Writes + _second.Writes;
        copying.Join();
        Assert.Contains(0ul, pages);
        Assert.Equal(touched, _first.Writes + _second.Writes);
    }

    /// <summary>Memory that only counts, and does something at each write.</summary>
    private sealed class Hooked() : UserMemory(Page)
    {
        public Action? OnWrite { get; set; }

        public int Writes { get; private set; }

        public override Errno Read(ulong offset, Span<byte> destination) => Errno.None;

        public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
        {
            Writes++;
            OnWrite?.Invoke();
            return Errno.None;
        }

        protected override void Free()
        {
        }
    }
}
