using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>SMART and the console after commands that went through the controller.</summary>
public sealed class NvmeCountersTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Smart_AfterCommands_HasCountedThem(bool onWorkers)
    {
        var backing = new CheckedBacking(1 << 20) { Blocks = onWorkers };
        using NvmeRig rig = new NvmeRig(null, backing).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 8, page));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 8, 2, page));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, page));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Compare, 0, 8, page));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.WriteZeroes, 0, 8, 0));
        queue.Ok(new NvmeCommand { NamespaceId = 1 });
        backing.Answer = Interop.Errno.EIO;
        Assert.Equal(NvmeStatus.UnrecoveredReadError, queue.Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page)));
        Assert.Equal(NvmeStatus.LbaOutOfRange, queue.Status(NvmeRig.Io(NvmeIoOpcode.Read, 1 << 20, 1, page)));
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetLogPage, NamespaceId = uint.MaxValue, Cdw10 = 2 | (127 << 16), Prp1 = page });

        // Units read and written, rounded up; commands; errors of the medium; entries of the error log.
        Assert.Equal([1ul, 1, 2, 2, 1, 2], new[] { 32, 48, 64, 80, 160, 176 }.Select(o => BinaryPrimitives.ReadUInt64LittleEndian(rig.At(page + (ulong)o, 8))));
        string text = new NvmeConsole(rig.Disk).Execute("counters").Text;
        Assert.Contains("read        2 commands, 8192 bytes", text, StringComparison.Ordinal);
        Assert.Contains("written     2 commands, 5120 bytes", text, StringComparison.Ordinal);
        Assert.Contains("flushed     1 commands", text, StringComparison.Ordinal);
        Assert.Contains("failed      2 commands, 1 of them by the medium", text, StringComparison.Ordinal);
        Assert.Contains("1 submission, 1 completion", new NvmeConsole(rig.Disk).Execute("status").Text, StringComparison.Ordinal);
        backing.Answer = default;
    }
}
