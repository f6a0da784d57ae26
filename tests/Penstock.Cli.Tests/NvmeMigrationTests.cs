using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

/// <summary>
/// A disk is moved between two processes that share its image, to and fro, with commands under way all the time: every command is completed
/// once and with success, every read finds what was written last, and in the end the image holds what the model says.
/// </summary>
public sealed class NvmeMigrationTests : IDisposable
{
    private const int Rounds = 24;
    private const int Depth = 32;
    private const int BlockSize = 512;
    private const int Blocks = 4096;
    private const int MostBlocks = 2 * NvmeUser.Page / BlockSize;
    private const int ClusterBlocks = MostBlocks;

    private readonly TemporaryFolder _folder = new();
    private readonly NvmeUser _user = new();
    private readonly Random _random = new(4);
    private readonly byte[] _expected = new byte[Blocks * BlockSize];
    private readonly (NvmeIoOpcode Opcode, int Block, int Count)?[] _busy = new (NvmeIoOpcode, int, int)?[Depth];
    private int _completed;

    public void Dispose()
    {
        _user.Dispose();
        _folder.Dispose();
    }

    private string Image => _folder.File("disk.img");

    [Fact]
    public async Task Move_BetweenTwoProcessesUnderLoad_NothingIsLostOrDoneTwice()
    {
        int underWay = 0;
        using (ToolProcess first = await ServeAsync("first", "--size", "2M"))
        using (ToolProcess second = await ServeAsync("second", "--incoming"))
        using (VfioUserClient a = _user.Connect(_folder.File("first")))
        using (VfioUserClient b = _user.Connect(_folder.File("second")))
        {
            _user.Client = a;
            _user.Enable();
            // On a busy machine the disk may be done with all that was under way before it hears of the stop.
            for (int round = 0; round < Rounds || (underWay < Rounds && round < 20 * Rounds); round++)
            {
                underWay += Move(round % 2 == 0 ? b : a);
            }

            Work(200);
            Drain();
            Verify();
            foreach (ToolProcess tool in (ToolProcess[])[first, second])
            {
                tool.Signal(ToolProcess.Terminate);
                Assert.Equal(0, (await tool.EndAsync()).Status);
            }
        }

        byte[] image = await File.ReadAllBytesAsync(Image);
        Assert.True(_expected.AsSpan().SequenceEqual(image), "the image is not what the model says");

        // Otherwise the test did not test it.
        Assert.InRange(_completed, Rounds * 100, int.MaxValue);
        Assert.InRange(underWay, Rounds, int.MaxValue);
    }

    [Fact]
    public async Task Move_SourceKilledAfterwards_TargetGoesOn()
    {
        using ToolProcess first = await ServeAsync("first", "--size", "2M");
        using ToolProcess second = await ServeAsync("second", "--incoming");
        using VfioUserClient a = _user.Connect(_folder.File("first"));
        using VfioUserClient b = _user.Connect(_folder.File("second"));
        _user.Client = a;
        _user.Enable();
        Move(b);
        first.Signal(9);
        await first.EndAsync();
        Work(200);
        Drain();
        Verify();
    }

    [Fact]
    public async Task Serve_ImageInUse_IsRefusedUnlessItWaits()
    {
        using ToolProcess first = await ServeAsync("first", "--size", "2M");
        ToolResult refused = await ToolProcess.RunAsync("serve", "nvme", "--socket", _folder.File("second"), "--image", Image);
        Assert.Equal(1, refused.Status);
        Assert.Contains("another server has it in use", Assert.Single(refused.Errors), StringComparison.Ordinal);
        using ToolProcess second = await ServeAsync("second", "--incoming");

        // Nobody has moved anything, so the second one has no blocks to give.
        using VfioUserClient client = _user.Connect(_folder.File("second"));
        _user.Client = client;
        _user.Enable();
        _user.Submit(1, Command(0, NvmeIoOpcode.Read, 0, 1));
        NvmeCompletion completion = default;
        Assert.True(SpinWait.SpinUntil(() => _user.TryTake(1, out completion), ToolProcess.Patience));
        Assert.Equal(NvmeStatus.NamespaceNotReady, completion.Status);
    }

    private static ulong BufferOf(int slot) => NvmeUser.Data + (ulong)(slot * 2 * NvmeUser.Page);

    private static NvmeCommand Command(int slot, NvmeIoOpcode opcode, int block, int count) => new()
    {
        Opcode = (byte)opcode,
        CommandId = (ushort)slot,
        NamespaceId = 1,
        StartingLba = (ulong)block,
        Cdw12 = (uint)(count - 1),
        Prp1 = BufferOf(slot),
        Prp2 = BufferOf(slot) + NvmeUser.Page,
    };

    /// <summary>One migration as a VMM does it, while the guest's commands go on.</summary>
    /// <returns>How many commands were under way when the source had stopped.</returns>
    private int Move(VfioUserClient target)
    {
        VfioUserClient source = _user.Client;
        Work(100);
        source.SetMigrationState(MigrationState.PreCopy);
        byte[] part = new byte[1 << 16];
        var state = new List<byte>();
        for (int i = 0; i < 3; i++)
        {
            state.AddRange(part.AsSpan(0, source.ReadMigrationData(part.AsSpan(0, _random.Next(1, 5000)))));
            Work(10);
        }

        Fill();
        source.SetMigrationState(MigrationState.StopCopy);
        Collect(ring: false);
        int underWay = _busy.Count(b => b is not null);
        while (source.ReadMigrationData(part.AsSpan(0, _random.Next(1, part.Length))) is > 0 and int came)
        {
            state.AddRange(part.AsSpan(0, came));
        }

        target.SetMigrationState(MigrationState.Resuming);
        Span<byte> all = CollectionsMarshal.AsSpan(state);
        while (!all.IsEmpty)
        {
            int count = Math.Min(all.Length, _random.Next(1, 1 << 16));
            target.WriteMigrationData(all[..count]);
            all = all[count..];
        }

        target.SetMigrationState(MigrationState.Running);
        _user.Client = target;
        _user.RingHead(1);
        Work(20);

        // The source begins anew, for the way back, and does nothing of what went.
        source.Reset();
        return underWay;
    }

    /// <summary>Submits so many commands, of which many are under way at once.</summary>
    private void Work(int commands)
    {
        int until = _completed + commands;
        long deadline = Environment.TickCount64 + (long)ToolProcess.Patience.TotalMilliseconds;
        while (_completed < until)
        {
            Fill();
            Collect();
            Assert.True(Environment.TickCount64 < deadline, "commands are not completed");
        }
    }

    private void Drain() =>
        Assert.True(SpinWait.SpinUntil(() => Collect() && _busy.All(b => b is null), ToolProcess.Patience), "commands are not completed");

    /// <summary>As many commands as there are places, none at blocks of another.</summary>
    private void Fill()
    {
        for (int slot = 0; slot < Depth; slot++)
        {
            if (_busy[slot] is not null)
            {
                continue;
            }

            // Each slot has clusters of its own.
            int count = _random.Next(1, MostBlocks + 1);
            int cluster = (_random.Next(Blocks / ClusterBlocks / Depth) * Depth) + slot;
            int block = (cluster * ClusterBlocks) + _random.Next(ClusterBlocks - count + 1);
            Span<byte> data = _user.At(BufferOf(slot), count * BlockSize);
            Span<byte> expected = _expected.AsSpan(block * BlockSize, data.Length);
            NvmeIoOpcode opcode = _random.Next(10) switch { < 5 => NvmeIoOpcode.Write, < 8 => NvmeIoOpcode.Read, 8 => NvmeIoOpcode.WriteZeroes, _ => NvmeIoOpcode.Flush };
            switch (opcode)
            {
                case NvmeIoOpcode.Write:
                    _random.NextBytes(data);
                    data.CopyTo(expected);
                    break;
                case NvmeIoOpcode.WriteZeroes:
                    expected.Clear();
                    break;
                case NvmeIoOpcode.Read:
                    data.Fill(0xa5);
                    break;
            }

            _busy[slot] = (opcode, block, count);
            _user.Submit(1, opcode == NvmeIoOpcode.Flush ? new NvmeCommand { CommandId = (ushort)slot, NamespaceId = 1 } : Command(slot, opcode, block, count));
        }
    }

    private bool Collect(bool ring = true)
    {
        while (_user.TryTake(1, out NvmeCompletion completion, ring))
        {
            int slot = completion.CommandId;
            Assert.InRange(slot, 0, Depth - 1);
            Assert.True(_busy[slot] is not null, "a command is completed twice");
            Assert.Equal(NvmeStatus.Success, completion.Status);
            (NvmeIoOpcode opcode, int block, int count) = _busy[slot]!.Value;
            if (opcode == NvmeIoOpcode.Read)
            {
                Assert.True(_expected.AsSpan(block * BlockSize, count * BlockSize).SequenceEqual(_user.At(BufferOf(slot), count * BlockSize)), $"blocks from {block} on are not what was written");
            }

            _busy[slot] = null;
            _completed++;
        }

        return true;
    }

    private void Verify()
    {
        for (int block = 0; block < Blocks; block += MostBlocks)
        {
            _busy[0] = (NvmeIoOpcode.Read, block, MostBlocks);
            _user.Submit(1, Command(0, NvmeIoOpcode.Read, block, MostBlocks));
            Drain();
        }
    }

    private async Task<ToolProcess> ServeAsync(string name, params string[] options)
    {
        ToolProcess tool = ToolProcess.Penstock(["serve", "nvme", "--socket", _folder.File(name), "--image", Image, .. options]);
        await tool.LineAsync("Ctrl-C ends");
        return tool;
    }
}
