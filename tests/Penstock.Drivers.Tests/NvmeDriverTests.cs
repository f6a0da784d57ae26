using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>The driver at a disk; where the disk is, derived classes say.</summary>
public abstract partial class NvmeDriverTests(Func<IPciFunction, DriverSlot> plug)
{
    private const ulong Size = 8 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    public static TheoryData<string> Ways => new() { "interrupts", "polling", "mapped doorbells", "registers only", "eight commands" };

    [Fact]
    public void Identify_TellsWhatTheDiskIs()
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { SerialNumber = "D1" });
        NvmeDriver driver = disk.Driver;
        Assert.Equal("D1", driver.Controller.SerialNumber);
        Assert.Equal(new Version(1, 4, 0), driver.Controller.Version);
        Assert.Equal((512, Size / 512, 1u), (driver.Namespace.BlockSize, driver.Namespace.Blocks, driver.Namespace.Id));
        Assert.Equal(128 * 1024, driver.TransferSize);
        Assert.Equal(driver.Controller.MaxTransfer, driver.TransferSize);
        Assert.InRange(driver.GrantedQueues, 2, 64);
        Assert.Null(driver.Failure);
    }

    [Theory]
    [InlineData(512, 512)]
    [InlineData(512, 4096)]
    [InlineData(512, 8192)]
    [InlineData(512, 12800)]
    [InlineData(512, 131072)]
    [InlineData(512, 1049088)]
    [InlineData(4096, 4096)]
    [InlineData(4096, 1 << 20)]
    public void WriteThenRead_OnSpans_AreTheSame(int blockSize, int length)
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { BlockSize = blockSize });
        byte[] data = Random(length);
        disk.Driver.Write(3, data);
        byte[] back = new byte[length + blockSize];
        disk.Driver.Read(3, back);
        Assert.Equal(data, back[..length]);
        Assert.Equal(new byte[blockSize], back[length..]);
        byte[] stored = new byte[length];
        Assert.Equal(Errno.None, disk.Backing.Read((ulong)(3 * blockSize), stored));
        Assert.Equal(data, stored);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task ManyAtOnce_Asynchronously_EachHasItsOwnData(string way)
    {
        const int Calls = 200;
        const int Length = 20 * 512;
        using var disk = new DiskUnderTest(plug, OptionsFor(way), new NvmeOptions { Poll = way == "mapped doorbells" });
        byte[][] data = [.. Enumerable.Range(0, Calls).Select(i => Random(Length, i))];
        byte[][] back = [.. data.Select(static d => new byte[d.Length])];
        await Task.WhenAll(data.Select((d, i) => disk.Driver.WriteAsync((ulong)(i * 20), d))).WaitAsync(Patience);
        await Task.WhenAll(back.Select((d, i) => disk.Driver.ReadAsync((ulong)(i * 20), d))).WaitAsync(Patience);
        for (int i = 0; i < Calls; i++)
        {
            Assert.Equal(data[i], back[i]);
        }

        Assert.Equal(way != "polling", disk.Driver.HasInterrupts);
        Assert.Equal(way == "mapped doorbells", disk.Driver.HasMappedDoorbells);
        if (way == "registers only")
        {
            Assert.False(disk.Driver.HasShadowDoorbells || disk.Driver.HasMappedDoorbells);
        }
    }

    [Fact]
    public async Task LongRead_Asynchronously_IsSeveralCommands()
    {
        using var disk = new DiskUnderTest(plug);
        byte[] data = Random(3 << 20);
        await disk.Driver.WriteAsync(1, data).WaitAsync(Patience);
        byte[] back = new byte[data.Length];
        await disk.Driver.ReadAsync(1, back).WaitAsync(Patience);
        Assert.Equal(data, back);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ReadAndWrite_OnSpans_AllocateNothing(bool mapped)
    {
        using var disk = new DiskUnderTest(plug, new NvmeOptions { Poll = mapped });
        Assert.Equal((mapped, !mapped), (disk.Driver.HasMappedDoorbells, disk.Driver.HasShadowDoorbells));
        byte[] block = Random(4096);
        Assert.Equal(0, AllocatedBytes.In(200, _ =>
        {
            disk.Driver.Write(8, block);
            disk.Driver.Read(8, block);
            disk.Driver.Compare(8, block);
            disk.Driver.Flush();
            disk.Driver.WriteZeroes(16, 8);
            disk.Driver.Deallocate(16, 8);
        }));
    }

    [Fact]
    public async Task OtherCommands_BothWays_DoWhatTheyAreFor()
    {
        using var disk = new DiskUnderTest(plug);
        byte[] data = Random(8 * 512);
        byte[] back = new byte[8 * 512];
        disk.Driver.Write(0, data, forceUnitAccess: true);
        Assert.True(disk.Driver.Compare(0, data));
        Assert.True(await disk.Driver.CompareAsync(0, data));
        back[0] = (byte)~data[0];
        Assert.False(disk.Driver.Compare(0, back));
        Assert.False(await disk.Driver.CompareAsync(0, back));
        Assert.True(disk.Driver.Compare(0, []) && await disk.Driver.CompareAsync(0, Array.Empty<byte>()));
        disk.Driver.WriteZeroes(0, 2);
        await disk.Driver.WriteZeroesAsync(6, 2, deallocate: true);
        disk.Driver.Deallocate(2, 1);
        await disk.Driver.DeallocateAsync(3, 1);
        disk.Driver.Read(0, back);
        Assert.Equal(new byte[2 * 512], back[..1024]);
        Assert.Equal(new byte[2 * 512], back[3072..]);
        Assert.True(disk.Driver.Namespace.ReadsZeroAfterDeallocate);
        Assert.Equal(new byte[2 * 512], back[1024..2048]);
        Assert.Equal(data[2048..3072], back[2048..3072]);
        disk.Driver.WriteZeroes(0, Size / 512);
        disk.Driver.Read(0, back);
        Assert.Equal(new byte[4096], back);
        long flushes = disk.Backing.FlushCount;
        disk.Driver.Flush();
        await disk.Driver.FlushAsync();
        Assert.Equal(flushes + 2, disk.Backing.FlushCount);
    }

    [Fact]
    public async Task BeyondTheEnd_BothWays_IsTheStatusByName()
    {
        using var disk = new DiskUnderTest(plug);
        byte[] block = new byte[512];
        var error = Assert.Throws<NvmeException>(() => disk.Driver.Read(Size / 512, block));
        Assert.Equal((NvmeStatus.LbaOutOfRange, false), (error.Status, error.CanBeRetried));
        Assert.Contains($"Read of 1 blocks at {Size / 512}", error.Message, StringComparison.Ordinal);
        Assert.Contains("LbaOutOfRange (status 0x80)", error.Message, StringComparison.Ordinal);
        Assert.Equal(NvmeStatus.LbaOutOfRange, (await Assert.ThrowsAsync<NvmeException>(() => disk.Driver.WriteAsync(ulong.MaxValue, block))).Status);
        Assert.Throws<ArgumentException>(() => disk.Driver.Read(0, new byte[100]));
        disk.Driver.Read(0, block);
    }

    [Fact]
    public void AdminCommands_OfTheUser_AreAnsweredOrRefusedByName()
    {
        using var disk = new DiskUnderTest(plug);
        Assert.Equal(NvmeStatus.InvalidOpcode, Assert.Throws<NvmeException>(() => disk.Driver.Administer(new NvmeCommand { Opcode = 0xff })).Status);
        byte[] log = new byte[512];
        disk.Driver.Read(0, new byte[512]);
        disk.Driver.ReadLog(NvmeLogId.Smart, log);
        Assert.NotEqual(new byte[512], log);
        uint before = disk.Driver.GetFeature(NvmeFeatureId.Arbitration);
        disk.Driver.SetFeature(NvmeFeatureId.Arbitration, before ^ 1);
        Assert.Equal(before ^ 1, disk.Driver.GetFeature(NvmeFeatureId.Arbitration));
    }

    [Fact]
    public void Dispose_ShutsDownInOrder_AndTheNextDriverFindsTheData()
    {
        using var disk = new DiskUnderTest(plug);
        byte[] data = Random(4096);
        disk.Driver.Write(100, data);
        long flushes = disk.Backing.FlushCount;
        disk.Driver.Dispose();
        Assert.True(disk.Backing.FlushCount > flushes);
        using var again = new NvmeDriver(disk.Device);
        byte[] back = new byte[4096];
        again.Read(100, back);
        Assert.Equal(data, back);
    }

    [Fact]
    public void Namespace_ThatIsNotThere_IsRefused()
    {
        using var disk = new DiskUnderTest(plug);
        disk.Driver.Dispose();
        Assert.Throws<NvmeException>(() => new NvmeDriver(disk.Device, new NvmeDriverOptions { NamespaceId = 77 }));
        using var again = new NvmeDriver(disk.Device);
        Assert.Equal(1u, again.Namespace.Id);
    }

    private static byte[] Random(int length, int seed = 1)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    private static NvmeDriverOptions OptionsFor(string way) => way switch
    {
        "polling" => new NvmeDriverOptions { Interrupts = false },
        "registers only" => new NvmeDriverOptions { MapDoorbells = false, ShadowDoorbells = false, QueuePairs = 3 },
        "eight commands" => new NvmeDriverOptions { QueueDepth = 9 },
        _ => new NvmeDriverOptions(),
    };

    /// <summary>A disk and its driver, given back in the right order.</summary>
    private sealed class DiskUnderTest : IDisposable
    {
        private readonly NvmeFunction _function;
        private readonly DriverSlot _slot;

        public DiskUnderTest(Func<IPciFunction, DriverSlot> plug, NvmeOptions? options = null)
            : this(plug, null, options)
        {
        }

        public DiskUnderTest(Func<IPciFunction, DriverSlot> plug, NvmeDriverOptions? driver, NvmeOptions? options = null)
        {
            Backing = new GatedBacking(Size);
            _function = new NvmeFunction(Backing, options);
            _slot = plug(_function);
            try
            {
                Driver = new NvmeDriver(_slot.Device, driver);
            }
            catch
            {
                _slot.Dispose();
                _function.Dispose();
                throw;
            }
        }

        public GatedBacking Backing { get; }

        public AssignedDevice Device => _slot.Device;

        public NvmeDriver Driver { get; }

        public void Dispose()
        {
            Backing.Open();
            Driver.Dispose();
            _slot.Dispose();
            _function.Dispose();
        }
    }
}
