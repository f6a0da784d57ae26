using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Cli.Tests;

/// <summary>
/// An EDU device is moved between two processes, to and fro, while it is worked: its registers, its buffer and the memory that it copies
/// are compared with a model, and each transfer and factorial that is under way must end once, with one interrupt.
/// </summary>
public sealed class EduMigrationTests : IDisposable
{
    private const int Rounds = 24;
    private const int OperationsBetween = 25;
    private const int PageSize = EduUser.PageSize;
    private const int Pages = EduUser.MemorySize / PageSize;

    private readonly TemporaryFolder _folder = new();
    private readonly MemoryFile _memory = MemoryFile.Create("guest", EduUser.MemorySize);
    private readonly Random _random = new(3);

    // What memory and buffer must hold.
    private readonly byte[] _expectedMemory = new byte[EduUser.MemorySize];
    private readonly byte[] _expectedBuffer = new byte[PageSize];
    private int _operations;

    public void Dispose()
    {
        _memory.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("0")]
    [InlineData("2")]
    public async Task Move_BetweenTwoProcessesUnderLoad_NothingIsLostOrDoneTwice(string delay)
    {
        using ToolProcess first = await ServeAsync("first", delay);
        using ToolProcess second = await ServeAsync("second", delay);
        using var a = new EduUser(_folder.File("first"), _memory);
        using var b = new EduUser(_folder.File("second"), _memory);
        Fill();

        int underWay = 0;
        int early = 0;
        for (int round = 0; round < Rounds; round++)
        {
            (EduUser source, EduUser target) = round % 2 == 0 ? (a, b) : (b, a);
            underWay += Move(source, target, round, ref early);
        }

        // Otherwise the test did not test it.
        Assert.True(early > Rounds, "hardly any state was saved while the device worked");
        Assert.True(delay == "0" || underWay > Rounds / 2, $"only in {underWay} rounds was anything under way when the device was stopped");
    }

    [Fact]
    public async Task Move_SourceKilledAfterwards_TargetGoesOn()
    {
        using ToolProcess first = await ServeAsync("first", "0");
        using ToolProcess second = await ServeAsync("second", "0");
        using var a = new EduUser(_folder.File("first"), _memory);
        using var b = new EduUser(_folder.File("second"), _memory);
        Fill();
        int early = 0;
        Move(a, b, 0, ref early);
        first.Signal(9);
        await first.EndAsync();
        Work(b, 50);
        VerifyMemory();
    }

    [Fact]
    public async Task Move_DamagedState_IsRefusedAndAResetHelps()
    {
        using ToolProcess first = await ServeAsync("first", "0");
        using ToolProcess second = await ServeAsync("second", "0");
        using var a = new EduUser(_folder.File("first"), _memory);
        using var b = new EduUser(_folder.File("second"), _memory);
        a.Write32(EduUser.Liveness, 5);
        a.Client.SetMigrationState(MigrationState.StopCopy);
        byte[] state = ReadToEnd(a);
        state[state.Length / 2] ^= 1;
        b.Client.SetMigrationState(MigrationState.Resuming);
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => b.Client.WriteMigrationData(state)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => b.Client.SetMigrationState(MigrationState.Running)).Errno);
        Assert.Equal(MigrationState.Error, b.Client.GetMigrationState());
        b.Client.Reset();
        Assert.Equal(MigrationState.Running, b.Client.GetMigrationState());
        b.SetUp();
        Fill();
        Work(b, 10);
        VerifyMemory();
    }

    /// <summary>One migration as a VMM does it: saves while the guest goes on, stops, saves the rest, loads, goes on at the target.</summary>
    /// <returns>1 when a transfer or a factorial was under way in the saved state.</returns>
    private int Move(EduUser source, EduUser target, int round, ref int early)
    {
        Assert.Equal(MigrationFlags.All, source.Client.GetMigrationFlags());
        Work(source, OperationsBetween);
        source.Client.SetMigrationState(MigrationState.PreCopy);
        byte[] part = new byte[1 << 16];
        var state = new List<byte>();
        for (int i = 0; i < 5; i++)
        {
            int came = source.Client.ReadMigrationData(part.AsSpan(0, _random.Next(1, 3000)));
            state.AddRange(part.AsSpan(0, came));
            early += came > 0 ? 1 : 0;
            Work(source, 3);
        }

        // Both units are at work when the device is stopped, or nearly so.
        uint number = (uint)(round % 12) + 1;
        source.Write32(EduUser.Status, 0x80);
        source.Write32(EduUser.Factorial, number);
        int page = _random.Next(Pages);
        source.StartTransfer(EduUser.Buffer, EduUser.Iova + (ulong)(page * PageSize), toMemory: true);
        _expectedBuffer.CopyTo(_expectedMemory, page * PageSize);

        source.Client.SetMigrationState(MigrationState.StopCopy);
        int before = source.TakeSignals();
        bool pending = source.IsTransferring || source.IsComputing;
        (byte[] config, byte[] registers, byte[] buffer) = source.Look();
        state.AddRange(ReadToEnd(source));
        Assert.Equal(0, source.TakeSignals());

        target.Client.SetMigrationState(MigrationState.Resuming);
        byte[] all = [.. state];
        for (int at = 0; at < all.Length;)
        {
            int count = Math.Min(all.Length - at, _random.Next(1, 5000));
            target.Client.WriteMigrationData(all.AsSpan(at, count));
            at += count;
        }

        target.Client.SetMigrationState(MigrationState.Stop);
        (byte[] Config, byte[] Registers, byte[] Buffer) loaded = target.Look();
        Assert.Equal(registers, loaded.Registers);
        Assert.Equal(buffer, loaded.Buffer);
        Assert.Equal(config, loaded.Config);
        Assert.Equal(_expectedBuffer, loaded.Buffer);
        Assert.Equal(0, target.TakeSignals());

        target.Client.SetMigrationState(MigrationState.Running);
        target.Settle();
        Assert.Equal(2, before + target.TakeSignals());
        Assert.Equal(0x101u, target.Read32(EduUser.Causes));
        Assert.Equal(Enumerable.Range(1, (int)number).Aggregate(1u, (product, n) => product * (uint)n), target.Read32(EduUser.Factorial));
        target.AcknowledgeAll();
        target.Write32(EduUser.Status, 0);
        VerifyMemory();

        // Nothing of it ever happens at the source: it starts anew, for the way back.
        source.Client.Reset();
        source.SetUp();
        source.Settle();
        Assert.Equal(0, source.TakeSignals());
        Assert.Equal(0u, source.Read32(EduUser.Causes));
        return pending ? 1 : 0;
    }

    /// <summary>Works the device like a guest: transfers both ways with their interrupts, and registers that keep what is written.</summary>
    private void Work(EduUser user, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            uint value = (uint)++_operations;
            user.Write32(EduUser.Liveness, value);
            int page = _random.Next(Pages);
            int count = _random.Next(1, PageSize + 1);
            bool toMemory = _random.Next(2) == 0;
            ulong iova = EduUser.Iova + (ulong)(page * PageSize);
            user.StartTransfer(toMemory ? EduUser.Buffer : iova, toMemory ? iova : EduUser.Buffer, toMemory, count);
            Span<byte> inMemory = _expectedMemory.AsSpan(page * PageSize, count);
            Span<byte> inBuffer = _expectedBuffer.AsSpan(0, count);
            (toMemory ? inBuffer : inMemory).CopyTo(toMemory ? inMemory : inBuffer);
            user.Settle();
            Assert.Equal(1, user.TakeSignals());
            Assert.Equal(0x100u, user.Read32(EduUser.Causes));
            user.AcknowledgeAll();
            Assert.Equal(~value, user.Read32(EduUser.Liveness));
        }
    }

    private byte[] ReadToEnd(EduUser user)
    {
        var all = new List<byte>();
        byte[] part = new byte[1 << 16];
        while (user.Client.ReadMigrationData(part.AsSpan(0, _random.Next(1, 5000))) is > 0 and int came)
        {
            all.AddRange(part.AsSpan(0, came));
        }

        return [.. all];
    }

    private void Fill()
    {
        _random.NextBytes(_expectedMemory);
        Assert.Equal(Errno.None, DescriptorIO.WriteAt(_memory.Descriptor.Value, 0, _expectedMemory, out _));
    }

    private void VerifyMemory()
    {
        byte[] memory = new byte[EduUser.MemorySize];
        Assert.Equal(Errno.None, DescriptorIO.ReadAt(_memory.Descriptor.Value, 0, memory, out _));
        Assert.True(_expectedMemory.AsSpan().SequenceEqual(memory), "the device has copied something else than it was told");
    }

    private async Task<ToolProcess> ServeAsync(string name, string delay)
    {
        ToolProcess tool = ToolProcess.Penstock("serve", "edu", "--socket", _folder.File(name), "--delay", delay);
        await tool.LineAsync("Ctrl-C ends");
        return tool;
    }
}
