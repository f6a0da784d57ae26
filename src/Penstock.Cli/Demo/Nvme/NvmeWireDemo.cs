using System.Diagnostics;
using System.Globalization;
using Penstock.Devices;
using Penstock.Drivers;
using Penstock.Pci;
using Penstock.Specs.Nvme;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>
/// An NVMe disk without a VM: the driver in user space, which would drive any device file, on a device that is on the other end of a socket.
/// </summary>
internal sealed class NvmeWireDemo(DemoReport report) : WireDemo(report)
{
    private const string Serial = "PENSTOCK-DEMO";
    private const string Slot = "nvme0";
    private const ulong Size = 64 << 20;
    private const int LongestTransfer = 128 << 10;
    private const int Writes = 500;
    private const int AtOnce = 32;
    private const int Rounds = 20;
    private const int Reads = 2000;

    private readonly Random _random = new(4);
    private FileNvmeBacking? _image;
    private NvmeFunction? _disk;
    private byte[] _expected = [];

    protected override string Name => "nvme";

    protected override string Title => "an NVMe disk";

    protected override IPciFunction Device => _disk ??= MakeDisk();

    protected override void Use(string path, CancellationToken cancellation)
    {
        using var host = new VfioHost(new VfioHostOptions { Log = Report.Output.Note });
        using RemoteVfioDevice remote = RemoteVfioDevice.Register(host, Slot, path, OwnPeers.Client);
        using AssignedDevice device = AssignedDevice.Open(host, Slot);
        DemoReport.Verify((device.VendorId, device.DeviceId) == (Device.Description.VendorId, Device.Description.DeviceId), $"the ids read {device.VendorId:x4}:{device.DeviceId:x4}");
        Report.Done("connect", $"{device.VendorId:x4}:{device.DeviceId:x4}, class {device.ClassCode:x6}, as a device of this process's own VFIO host");

        using (var driver = new NvmeDriver(device))
        {
            Start(driver);
            Data(driver, cancellation);
            Interrupts(driver, cancellation);
            Flush(driver);
            Zeroes(driver);
            Refusal(driver);
            Timing(driver, cancellation);
            Resets(driver, cancellation);
        }

        Report.Done("shutdown", "the driver shut the controller down in order");
    }

    protected override void DisposeDevice() => _disk?.Dispose();

    private NvmeFunction MakeDisk()
    {
        _image = NvmeDemoImage.Make(Size);
        return new NvmeFunction(_image, new NvmeOptions { SerialNumber = Serial });
    }

    private void Start(NvmeDriver driver)
    {
        NvmeControllerInfo controller = driver.Controller;
        NvmeNamespaceInfo space = driver.Namespace;
        DemoReport.Verify(controller.SerialNumber == Serial, $"the disk says its serial number is '{controller.SerialNumber}'");
        DemoReport.Verify(space.Blocks * (ulong)space.BlockSize == Size, $"the disk says that it has {space.Blocks} blocks of {space.BlockSize} bytes");
        Report.Done("disk", $"{controller.Model}, {controller.SerialNumber}, NVMe {controller.Version.ToString(2)}, {space.Blocks} blocks of {space.BlockSize} bytes in a file");
        Report.Done("queues", $"{driver.GrantedQueues} may be made, {driver.QueueEntries} entries each in use{(driver.HasShadowDoorbells ? ", with shadow doorbells" : "")}");
    }

    /// <summary>Writes of all lengths anywhere, then the whole disk against what it must hold.</summary>
    private void Data(NvmeDriver driver, CancellationToken cancellation)
    {
        int blockSize = driver.Namespace.BlockSize;
        _expected = new byte[Size];
        byte[] data = new byte[LongestTransfer];
        for (int i = 0; i < Writes; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            int length = _random.Next(1, (data.Length / blockSize) + 1) * blockSize;
            int at = (int)_random.NextInt64((_expected.Length - length) / blockSize) * blockSize;
            _random.NextBytes(data.AsSpan(0, length));
            driver.Write((ulong)(at / blockSize), data.AsSpan(0, length));
            data.AsSpan(0, length).CopyTo(_expected.AsSpan(at));
        }

        Verify(driver, cancellation);
        Report.Done("data", $"{Writes} writes of {blockSize} bytes to {LongestTransfer >> 10} KiB anywhere; all {Size >> 20} MiB read back as they must be");
    }

    private void Interrupts(NvmeDriver driver, CancellationToken cancellation)
    {
        long before = _disk!.InterruptsSent;
        byte[][] pages = [.. Enumerable.Range(0, AtOnce).Select(_ => new byte[NvmeLimits.PageSize])];
        for (int round = 0; round < Rounds; round++)
        {
            ReadPages(driver, pages, cancellation);
            DemoReport.Verify(pages.Select((page, i) => page.AsSpan().SequenceEqual(PageOf(i))).All(same => same), "a page differs");
        }

        long interrupts = _disk.InterruptsSent - before;
        DemoReport.Verify(interrupts is > 0 and <= AtOnce * Rounds, $"{AtOnce * Rounds} reads, {interrupts} interrupts");
        Report.Done("interrupts", $"{AtOnce * Rounds} reads, {AtOnce} at a time and awaited: {interrupts} MSI-X interrupts");
    }

    private void Flush(NvmeDriver driver)
    {
        long before = _image!.FlushCount;
        driver.Flush();
        long flushed = _image.FlushCount - before;
        DemoReport.Verify(flushed == 1, $"a flush ended after {flushed} fdatasync");
        driver.Write(0, _expected.AsSpan(0, NvmeLimits.PageSize), forceUnitAccess: true);
        DemoReport.Verify(_image.FlushCount == before + 2, "a write with Force Unit Access ended before it was on the disk");
        Report.Done("flush", "a flush, and a write with Force Unit Access: each ended after one fdatasync of the file");
    }

    private void Zeroes(NvmeDriver driver)
    {
        const int Bytes = 1 << 20;
        int blockSize = driver.Namespace.BlockSize;
        driver.WriteZeroes(driver.Namespace.Blocks - (Bytes / (ulong)blockSize), Bytes / (ulong)blockSize, deallocate: true);
        _expected.AsSpan(_expected.Length - Bytes).Clear();
        byte[] data = new byte[Bytes];
        driver.Read(driver.Namespace.Blocks - (Bytes / (ulong)blockSize), data);
        DemoReport.Verify(data.AsSpan().IndexOfAnyExcept((byte)0) < 0, "something is left after Write Zeroes");
        Report.Done("zeroes", $"{Bytes >> 10} KiB zeroed and given back without a transfer");
    }

    private void Refusal(NvmeDriver driver)
    {
        try
        {
            driver.Read(driver.Namespace.Blocks, new byte[driver.Namespace.BlockSize]);
        }
        catch (NvmeException refused) when ((refused.Status & NvmeStatus.CodeMask) == NvmeStatus.LbaOutOfRange)
        {
            Report.Quote(refused.Message);
            Report.Done("refused", "a read behind the end; the disk goes on");
            return;
        }

        throw new DemoFailure("a read behind the disk's end was not refused as such");
    }

    private void Timing(NvmeDriver driver, CancellationToken cancellation)
    {
        byte[] page = new byte[NvmeLimits.PageSize];
        ulong blocks = NvmeLimits.PageSize / (ulong)driver.Namespace.BlockSize;
        var times = new double[Reads];
        for (int i = 0; i < Reads; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            ulong lba = (ulong)_random.NextInt64((long)(driver.Namespace.Blocks / blocks)) * blocks;
            long start = Stopwatch.GetTimestamp();
            driver.Read(lba, page);
            times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }

        Array.Sort(times);
        Report.Done("timing", $"{Reads} reads of 4 KiB from the file, one after the other, polled: median {Micro(times[Reads / 2])}");
    }

    /// <summary>What is under way at a reset ends with an error, or was faster; afterwards the disk is as it was.</summary>
    private void Resets(NvmeDriver driver, CancellationToken cancellation)
    {
        byte[] page = new byte[NvmeLimits.PageSize];
        int ended = 0;
        for (int round = 0; round < Rounds; round++)
        {
            Task[] reads = [.. Enumerable.Range(0, AtOnce).Select(_ => driver.ReadAsync(0, page, cancellation))];
            driver.Reset();
            try
            {
                Task.WaitAll(reads, cancellation);
            }
            catch (AggregateException e) when (e.InnerExceptions.All(inner => inner is VfioException))
            {
                ended += e.InnerExceptions.Count;
            }
        }

        DemoReport.Verify(driver.Resets >= Rounds, $"{Rounds} resets were asked for, {driver.Resets} were done");
        Verify(driver, cancellation);
        Report.Done("resets", string.Create(CultureInfo.InvariantCulture, $"{Rounds} with {AtOnce} reads under way, {ended} of which they ended; the disk is as it was"));
    }

    private static void ReadPages(NvmeDriver driver, byte[][] pages, CancellationToken cancellation) =>
        Task.WaitAll([.. pages.Select((page, i) => driver.ReadAsync((ulong)(i * (NvmeLimits.PageSize / driver.Namespace.BlockSize)), page, cancellation))], cancellation);

    private ReadOnlySpan<byte> PageOf(int i) => _expected.AsSpan(i * NvmeLimits.PageSize, NvmeLimits.PageSize);

    private void Verify(NvmeDriver driver, CancellationToken cancellation)
    {
        byte[] data = new byte[LongestTransfer];
        for (int at = 0; at < _expected.Length; at += data.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            driver.Read((ulong)(at / driver.Namespace.BlockSize), data);
            DemoReport.Verify(data.AsSpan().SequenceEqual(_expected.AsSpan(at, data.Length)), $"the disk differs between byte {at} and {at + data.Length}");
        }
    }
}
