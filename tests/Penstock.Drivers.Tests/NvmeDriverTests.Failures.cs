using System.Buffers;
using System.Diagnostics;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <content>Cancellation, slow disks, resets.</content>
public abstract partial class NvmeDriverTests
{
    private static readonly TimeSpan Short = TimeSpan.FromSeconds(2);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Cancellation_OfAReadThatTheDiskKeeps_EndsTheWaitAndNothingElse(bool interrupts)
    {
        using var disk = new DiskUnderTest(plug, new NvmeDriverOptions { Interrupts = interrupts });
        disk.Driver.Write(0, Random(4096));
        disk.Backing.Shut();
        using var stop = new CancellationTokenSource();
        byte[] data = new byte[4096];
        Task read = disk.Driver.ReadAsync(0, data, stop.Token);
        disk.Backing.WaitForReader();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(Patience));
        disk.Backing.Open();
        byte[] back = new byte[4096];
        for (int i = 0; i < 300; i++)
        {
            await disk.Driver.ReadAsync(0, back).WaitAsync(Patience);
        }

        Assert.Equal(Random(4096), back);
        Assert.Equal(new byte[4096], data);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => disk.Driver.ReadAsync(0, back, stop.Token));
    }

    [Fact]
    public Task Timeout_OfASynchronousRead_ThenTheControllerIsSetUpAgain() => ShortTime.Try(Short, time =>
    {
        using DiskUnderTest disk = time.Honest(() => new DiskUnderTest(plug, new NvmeDriverOptions { CommandTimeout = time.Length }));
        Assert.Equal(Errno.None, disk.Backing.Write(0, Random(4096)));
        disk.Backing.Shut();
        var error = Assert.Throws<VfioException>(() => disk.Driver.Read(0, new byte[512]));
        Assert.True(error.Errno is Errno.ETIMEDOUT or Errno.EIO, error.Message);
        Assert.Contains($"no answer in {time.Length.TotalSeconds} s", error.Message, StringComparison.Ordinal);
        disk.Backing.Open();
        byte[] back = new byte[4096];
        time.Honest(() => ReadAtLast(disk, back));
        Assert.Equal(Random(4096), back);
        Assert.True(disk.Driver.Resets >= 1);
        return Task.CompletedTask;
    });

    [Fact]
    public Task Timeout_OfAnAsynchronousRead_EndsIt() => ShortTime.Try(Short, async time =>
    {
        using DiskUnderTest disk = time.Honest(
            () => new DiskUnderTest(plug, new NvmeDriverOptions { CommandTimeout = time.Length, RecoversByItself = false }));
        disk.Backing.Shut();
        var error = await Assert.ThrowsAsync<VfioException>(() => disk.Driver.ReadAsync(0, new byte[512]).WaitAsync(Patience));
        Assert.Contains($"no answer in {time.Length.TotalSeconds} s", error.Message, StringComparison.Ordinal);
        Assert.NotNull(disk.Driver.Failure);
        Assert.Equal(Errno.EIO, Assert.Throws<VfioException>(() => disk.Driver.Read(0, new byte[512])).Errno);
        disk.Backing.Open();
        await time.Honest(async () =>
        {
            disk.Driver.Reset();
            Assert.Null(disk.Driver.Failure);
            await disk.Driver.ReadAsync(0, new byte[512]).WaitAsync(Patience);
        });
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DeviceReset_BySomebodyElse_IsNoticedAndTheControllerSetUpAgain(bool mapped)
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { Poll = mapped });
        byte[] data = Random(4096);
        disk.Driver.Write(0, data);
        disk.Device.File.Reset();

        // What was under way, or comes first, may fail; from then on it works.
        byte[] back = new byte[4096];
        Assert.Throws<VfioException>(() => disk.Driver.Read(0, back));
        WaitForReset(disk);
        disk.Driver.Read(0, back);
        Assert.Equal(data, back);
    }

    [Fact]
    public async Task Reset_UnderLoad_EndsEachCallAndLosesNoSlot()
    {
        using var disk = new DiskUnderTest(plug, new NvmeDriverOptions { QueueDepth = 8, QueuePairs = 2 });
        using var stop = new CancellationTokenSource();
        long done = 0;
        long canceled = 0;
        Task[] load = [.. Enumerable.Range(0, 8).Select(i => Task.Factory.StartNew(() => Load(i), TaskCreationOptions.LongRunning))];
        for (int i = 0; i < 10; i++)
        {
            long before = Interlocked.Read(ref done);
            disk.Driver.Reset();
            Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref done) > before + 50, Patience), "nothing is done after a reset");
        }

        await stop.CancelAsync();
        await Task.WhenAll(load).WaitAsync(Patience);
        Assert.Equal(10, disk.Driver.Resets);

        void Load(int number)
        {
            byte[] block = Random(512 * 9, number);
            byte[] back = new byte[block.Length];
            ulong lba = (ulong)number * 9;
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    if (number % 2 == 0)
                    {
                        disk.Driver.Write(lba, block);
                        disk.Driver.Read(lba, back);
                    }
                    else
                    {
                        disk.Driver.WriteAsync(lba, block).GetAwaiter().GetResult();
                        disk.Driver.ReadAsync(lba, back).GetAwaiter().GetResult();
                    }

                    Assert.Equal(block, back);
                    Interlocked.Increment(ref done);
                }
                catch (VfioException e) when (e.Errno == Errno.ECANCELED)
                {
                    Interlocked.Increment(ref canceled);
                }
            }
        }
    }

    [Fact]
    public async Task Dispose_WhileReadsWait_EndsThem()
    {
        var disk = new DiskUnderTest(plug);
        disk.Backing.Shut();
        Task read = disk.Driver.ReadAsync(0, new byte[512]);
        disk.Backing.WaitForReader();
        long start = Stopwatch.GetTimestamp();
        Thread opener = OpenAfter(disk, read);
        disk.Driver.Dispose();
        var error = await Assert.ThrowsAsync<VfioException>(() => read.WaitAsync(Patience));
        Assert.Equal(Errno.ECANCELED, error.Errno);
        Assert.InRange(Stopwatch.GetElapsedTime(start), TimeSpan.Zero, Patience);
        opener.Join();
        disk.Dispose();
    }

    /// <summary>A queue with room for one command: the others wait in the driver, which must let them go too.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public Task Calls_ThatWaitForRoomInTheQueue_EndWithTheDriverOrTheController(bool dispose) => ShortTime.Try(dispose ? Patience : Short, async time =>
    {
        using DiskUnderTest disk = time.Honest(
            () => new DiskUnderTest(plug, new NvmeDriverOptions { QueueDepth = 2, RecoversByItself = false, CommandTimeout = time.Length }));
        disk.Backing.Shut();
        Task[] reads = [.. Enumerable.Range(0, 8).Select(_ => disk.Driver.ReadAsync(0, new byte[512]))];
        disk.Backing.WaitForReader();
        Thread opener = OpenAfter(disk, reads);
        if (dispose)
        {
            disk.Driver.Dispose();
        }

        foreach (Task read in reads)
        {
            var error = await Assert.ThrowsAsync<VfioException>(() => read.WaitAsync(Patience));
            Assert.Equal(dispose ? Errno.ECANCELED : Errno.EIO, error.Errno);
        }

        opener.Join();
        if (!dispose)
        {
            await time.Honest(() =>
            {
                disk.Driver.Reset();
                return Task.WhenAll(Enumerable.Range(0, 8).Select(_ => disk.Driver.ReadAsync(0, new byte[512]))).WaitAsync(Patience);
            });
        }
    });

    /// <summary>Memory of the caller's that is gone when the data comes: his call fails, and nobody else's.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Memory_ThatTheCallerTookAway_FailsHisCallAlone(bool write)
    {
        using var disk = new DiskUnderTest(plug, new NvmeDriverOptions { QueueDepth = 2 });
        for (int i = 0; i < 4; i++)
        {
            using var gone = new GoneMemory();
            await Assert.ThrowsAsync<ObjectDisposedException>(() => (write ? disk.Driver.WriteAsync(0, gone.Memory) : disk.Driver.ReadAsync(0, gone.Memory)).WaitAsync(Patience));
        }

        await disk.Driver.ReadAsync(0, new byte[512]).WaitAsync(Patience);
        Assert.Equal(0, disk.Driver.Resets);
    }

    /// <summary>Memory with a length and without bytes.</summary>
    private sealed class GoneMemory : MemoryManager<byte>
    {
        public override Memory<byte> Memory => CreateMemory(512);

        public override Span<byte> GetSpan() => throw new ObjectDisposedException(nameof(GoneMemory));

        public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }

    /// <summary>Lets the disk answer when the calls have ended without it: the end of a driver waits for the disk.</summary>
    private static Thread OpenAfter(DiskUnderTest disk, params Task[] calls)
    {
        var opener = new Thread(() =>
        {
            SpinWait.SpinUntil(() => Array.TrueForAll(calls, static c => c.IsCompleted), Patience);
            disk.Backing.Open();
        })
        { IsBackground = true };
        opener.Start();
        return opener;
    }

    /// <summary>On a busy machine an honest answer may be too late for a time that is short; then the controller is set up again.</summary>
    private static void ReadAtLast(DiskUnderTest disk, byte[] back) => Assert.True(
        SpinWait.SpinUntil(
            () =>
            {
                try
                {
                    disk.Driver.Read(0, back);
                    return true;
                }
                catch (VfioException)
                {
                    return false;
                }
            },
            Patience),
        $"not set up again: {disk.Driver.Failure}");

    private static void WaitForReset(DiskUnderTest disk) =>
        Assert.True(SpinWait.SpinUntil(() => disk.Driver.Resets == 1, Patience), $"not set up again: {disk.Driver.Failure}");
}
