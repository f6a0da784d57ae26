using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Penstock.Devices;
using Penstock.Pci;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>An NVMe disk without a VM.</summary>
internal sealed class NvmeWireDemo(DemoReport report) : WireDemo(report)
{
    private const string Serial = "PENSTOCK-DEMO";
    private const ulong Size = 64 << 20;
    private const int Writes = 500;
    private const int AtOnce = 32;
    private const int Reads = 2000;
    private const int Resets = 20;

    private readonly Random _random = new(4);
    private FileNvmeBacking? _backing;
    private NvmeFunction? _disk;
    private int _blockSize;
    private ulong _blocks;
    private int _zeroedFrom;

    protected override string Name => "nvme";

    protected override string Title => "an NVMe disk";

    protected override IPciFunction Device => _disk ??= MakeDisk();

    protected override void Drive(VfioUserClient user, CancellationToken cancellation)
    {
        Identify(user, PciCommand.Memory | PciCommand.BusMaster, $"BAR0 with {user.GetRegionInfo(VfioRegions.Bar0).Size >> 10} KiB");
        using var host = new NvmeHost(user);
        Start(host);
        byte[] written = Data(host, cancellation);
        Interrupts(host);
        Flushes(host);
        Zeroes(host);
        Refusals(host);
        Timing(host, cancellation);
        ControllerResets(host, written, cancellation);
        host.ShutDown();
        user.Reset();
        DemoReport.Verify(!host.Status.Ready, "the controller is ready after a reset");
        Report.Done("reset", "shut down in order, then reset: the controller is off");
    }

    protected override void DisposeDevice() => _disk?.Dispose();

    private NvmeFunction MakeDisk()
    {
        _backing = NvmeDemoImage.Make(Size);
        return new NvmeFunction(_backing, new NvmeOptions { SerialNumber = Serial });
    }

    private void Start(NvmeHost host)
    {
        host.Start();
        uint version = host.Version;
        Report.Done("start", $"NVMe {version >> 16}.{version >> 8 & 0xff}, queues of up to {host.Capabilities.MaxQueueEntries} entries; the controller is ready, a pair of I/O queues is made");

        byte[] controller = host.Identify(NvmeIdentifyCns.Controller);
        byte[] space = host.Identify(NvmeIdentifyCns.Namespace);
        string serial = Encoding.ASCII.GetString(controller, NvmeIdentifyController.SerialNumber, 20).Trim();
        string model = Encoding.ASCII.GetString(controller, NvmeIdentifyController.ModelNumber, 40).Trim();
        _blocks = BinaryPrimitives.ReadUInt64LittleEndian(space.AsSpan(NvmeIdentifyNamespace.Size));
        int format = space[NvmeIdentifyNamespace.Format] & NvmeIdentifyNamespace.FormatMask;
        uint formatted = BinaryPrimitives.ReadUInt32LittleEndian(space.AsSpan(NvmeIdentifyNamespace.LbaFormats + (format * NvmeIdentifyNamespace.LbaFormatSize)));
        _blockSize = 1 << (int)(formatted >> NvmeIdentifyNamespace.LbaFormatBlockShift & 0xff);
        DemoReport.Verify(serial == Serial, $"the disk says its serial number is {serial}");
        DemoReport.Verify(_blocks * (ulong)_blockSize == Size, $"the disk says that it has {_blocks} blocks of {_blockSize} bytes");
        Report.Done("disk", $"{model}, serial number {serial}, {_blocks} blocks of {_blockSize} bytes in a file");
    }

    /// <summary>Writes of all lengths anywhere, then the whole disk against what it must hold.</summary>
    private byte[] Data(NvmeHost host, CancellationToken cancellation)
    {
        byte[] expected = new byte[Size];
        byte[] data = new byte[NvmeHost.LargestTransfer];
        for (int i = 0; i < Writes; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            int length = _random.Next(1, (NvmeHost.LargestTransfer / _blockSize) + 1) * _blockSize;
            ulong block = (ulong)_random.NextInt64((long)_blocks - (length / _blockSize));
            _random.NextBytes(data.AsSpan(0, length));
            host.Write(block, data.AsSpan(0, length), _blockSize);
            data.AsSpan(0, length).CopyTo(expected.AsSpan((int)block * _blockSize));
        }

        VerifyDisk(host, expected, cancellation);
        Report.Done("data", $"{Writes} writes of {_blockSize} bytes to {NvmeHost.LargestTransfer >> 10} KiB anywhere; all {Size >> 20} MiB read back as they must be");
        return expected;
    }

    private void Interrupts(NvmeHost host)
    {
        ulong before = host.Interrupts;
        host.ReadAtOnce(AtOnce, _blockSize);
        ulong interrupts = host.Interrupts - before;
        DemoReport.Verify(interrupts is > 0 and <= AtOnce, $"{AtOnce} reads, {interrupts} interrupts");
        Report.Done("interrupts", $"{AtOnce} reads with one doorbell, {interrupts} MSI-X interrupts");
    }

    private void Flushes(NvmeHost host)
    {
        long before = _backing!.FlushCount;
        DemoReport.Verify(host.Execute(NvmeIoOpcode.Flush) == NvmeStatus.Success, "a flush failed");
        long flushed = _backing.FlushCount - before;
        DemoReport.Verify(flushed == 1, $"a flush ended after {flushed} fdatasync");
        Report.Done("flush", "ended after one fdatasync of the file");
    }

    private void Zeroes(NvmeHost host)
    {
        const int Blocks = 1024;
        byte[] data = new byte[NvmeHost.LargestTransfer];
        ulong block = _blocks - Blocks;
        int step = NvmeHost.LargestTransfer / _blockSize;
        DemoReport.Verify(host.Execute(NvmeIoOpcode.WriteZeroes, block, Blocks - 1) == NvmeStatus.Success, "Write Zeroes failed");
        for (int at = 0; at < Blocks; at += step)
        {
            host.Read(block + (ulong)at, data, _blockSize);
            DemoReport.Verify(data.AsSpan().IndexOfAnyExcept((byte)0) < 0, "something is left after Write Zeroes");
        }

        _zeroedFrom = (int)block * _blockSize;
        Report.Done("zeroes", $"{(Blocks * _blockSize) >> 10} KiB zeroed with one command, without data");
    }

    private void Refusals(NvmeHost host)
    {
        NvmeStatus beyond = host.Execute(NvmeIoOpcode.Read, _blocks);
        DemoReport.Verify((beyond & NvmeStatus.CodeMask) == NvmeStatus.LbaOutOfRange, $"a read behind the end gave status 0x{(int)beyond:x}");
        NvmeStatus nowhere = host.Execute(NvmeIoOpcode.Read, 0, 0, NvmeHost.Nowhere);
        DemoReport.Verify((nowhere & NvmeStatus.CodeMask) == NvmeStatus.DataTransferError, $"a read to memory that is not mapped gave status 0x{(int)nowhere:x}");
        Report.Done("refused", $"a read behind the end ({beyond & NvmeStatus.CodeMask}), one to memory that is not mapped ({nowhere & NvmeStatus.CodeMask}); the disk goes on");
    }

    private void Timing(NvmeHost host, CancellationToken cancellation)
    {
        byte[] page = new byte[NvmeLimits.PageSize];
        var times = new double[Reads];
        for (int i = 0; i < Reads; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            host.Read((ulong)_random.NextInt64((long)_blocks - (NvmeLimits.PageSize / _blockSize)), page, _blockSize);
            times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }

        Array.Sort(times);
        Report.Done("timing", $"{Reads} reads of 4 KiB, one at a time: median {Micro(times[Reads / 2])} from the doorbell to the data, interrupt and file included");
    }

    private void ControllerResets(NvmeHost host, byte[] expected, CancellationToken cancellation)
    {
        for (int i = 0; i < Resets; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            host.Submit(AtOnce, _blockSize);
            host.Stop();
            host.Start();
        }

        expected.AsSpan(_zeroedFrom).Clear();
        VerifyDisk(host, expected, cancellation);
        Report.Done("restart", $"{Resets} controller resets with {AtOnce} reads under way; the disk is as it was");
    }

    private void VerifyDisk(NvmeHost host, byte[] expected, CancellationToken cancellation)
    {
        byte[] data = new byte[NvmeHost.LargestTransfer];
        for (int at = 0; at < expected.Length; at += data.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            host.Read((ulong)(at / _blockSize), data, _blockSize);
            DemoReport.Verify(data.AsSpan().SequenceEqual(expected.AsSpan(at, data.Length)), $"the disk differs between byte {at} and {at + data.Length}");
        }
    }
}
