using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>Does a hostile user's steps on a bench of its own, from the first to the last.</summary>
internal sealed class HostileSession : IDisposable
{
    private const int MostForbidden = 32;

    private readonly HostileUserOptions _options;
    private readonly FunctionTestBench _bench;
    private readonly Random _random;
    private readonly List<(TestMemory Memory, byte[] Content)> _readOnly = [];
    private readonly List<TestMemory> _unmapped = [];
    private readonly Queue<TestMemory> _forbidden = new();
    private InterruptCapture? _interrupts;

    internal HostileSession(IPciFunction function, HostileUserOptions options)
    {
        _options = options;
        _random = new Random(options.Seed);
        _bench = new FunctionTestBench(function, new FunctionTestBenchOptions { Patience = options.StepTimeout, Tolerates = options.Tolerates });
        _options.Prepare?.Invoke(_bench, _random);
    }

    /// <summary>Does a step. Refusals are what a hostile user expects; all else is the model's fault.</summary>
    internal void Do(in HostileStep step)
    {
        try
        {
            DoStep(step);
        }
        catch (VfioException)
        {
            // Refused.
        }

        ForbidWhatIsLeft();
        if (_bench.FindFault() is { } fault)
        {
            throw new TestBenchException(fault);
        }
    }

    /// <summary>The end: an honest user comes, and everything is given back.</summary>
    internal void Finish()
    {
        // What the last steps set going belongs to them, and a fault in it is found whether or not somebody was quick.
        _bench.Settle();
        DropInterrupts();
        _bench.Mapped.ForEach(Unmap);
        _bench.Close();
        _bench.Open();
        _options.Check?.Invoke(_bench);
        CheckReadOnly();
        _bench.Dispose();
    }

    public void Dispose()
    {
        try
        {
            _bench.Dispose();
        }
        catch (TestBenchException)
        {
            // Told already, or about to be.
        }
    }

    private void DoStep(in HostileStep step)
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(data, step.Value);
        switch (step.Kind)
        {
            case HostileStepKind.ReadBar:
                _bench.Region(step.Region).Read(step.Offset, new byte[step.Width]);
                break;
            case HostileStepKind.WriteBar:
                _bench.Region(step.Region).Write(step.Offset, data[..step.Width]);
                break;
            case HostileStepKind.FillBar:
                _bench.Region(step.Region).Write(step.Offset, RandomBytes(step.Value, step.Width));
                break;
            case HostileStepKind.ReadConfig:
                _bench.Config.Read(step.Offset, data[..step.Width]);
                break;
            case HostileStepKind.WriteConfig:
                _bench.Config.Write(step.Offset, data[..step.Width]);
                break;
            case HostileStepKind.SetCommand:
                _bench.SetCommand((PciCommand)step.Value);
                break;
            case HostileStepKind.Reset:
                _bench.Reset();
                _options.Prepare?.Invoke(_bench, _random);
                break;
            case HostileStepKind.Reopen:
                Reopen();
                break;
            case HostileStepKind.Map:
                Map(step);
                break;
            case HostileStepKind.Unmap when _bench.Mapped is { Count: not 0 } maps:
                Unmap(maps[step.Region % maps.Count]);
                break;
            case HostileStepKind.Scribble or HostileStepKind.Poke when _bench.Mapped is { Count: not 0 } maps:
                Change(step, maps[step.Region % maps.Count].Memory);
                break;
            case HostileStepKind.BindInterrupts:
                DropInterrupts();
                _interrupts = _bench.Capture(step.Region, step.Width);
                break;
            case HostileStepKind.DropInterrupts:
                DropInterrupts();
                break;
            case HostileStepKind.ActOnInterrupt:
                _bench.File.SetIrqs(new VfioIrqRequest
                {
                    Index = (uint)step.Region,
                    Start = (uint)step.Offset,
                    Count = (uint)step.Width,
                    Flags = (VfioIrqSetFlags)step.Value,
                    Bools = RandomBytes(step.Offset, 8),
                });
                break;
            case HostileStepKind.Migrate:
                _bench.File.SetMigrationState((MigrationState)step.Value)?.Dispose();
                break;
        }
    }

    private void Map(in HostileStep step)
    {
        DmaAccess access = step.MapAccess;
        TestMemory memory = _bench.CreateMemory(step.Value, step.MapMemory);
        memory.FillRandom((int)step.Offset);
        try
        {
            _bench.Map(step.Offset, memory, access);
        }
        catch
        {
            _bench.Discard(memory);
            throw;
        }

        if (access == DmaAccess.Read)
        {
            _readOnly.Add((memory, memory.Bytes.ToArray()));
        }
    }

    private void Unmap((ulong Iova, TestMemory Memory, DmaAccess Access) map)
    {
        _bench.Unmap(map.Iova);
        Forget(map.Memory);
    }

    private void Forget(TestMemory memory)
    {
        CheckReadOnly();
        _readOnly.RemoveAll(r => r.Memory == memory);
        if (memory.Channel is null)
        {
            if (!_unmapped.Contains(memory))
            {
                _unmapped.Add(memory);
            }
        }
        else
        {
            // A message that is under way finds nothing any more.
            memory.Channel.Close();
        }
    }

    /// <summary>A transfer may hold memory a moment longer than it is mapped; once it does not, nobody may touch it.</summary>
    private void ForbidWhatIsLeft()
    {
        _unmapped.RemoveAll(memory =>
        {
            if (memory.IsInUse)
            {
                return false;
            }

            memory.Forbid();
            _forbidden.Enqueue(memory);
            return true;
        });
        while (_forbidden.Count > MostForbidden)
        {
            _bench.Discard(_forbidden.Dequeue());
        }
    }

    /// <summary>A device changed memory that it may only read; what the user wrote there himself is known.</summary>
    private void CheckReadOnly()
    {
        foreach ((TestMemory memory, byte[] content) in _readOnly)
        {
            if (!memory.Bytes.SequenceEqual(content))
            {
                throw new TestBenchException($"memory that the device may only read was written at offset 0x{memory.Bytes.CommonPrefixLength(content):x}");
            }
        }
    }

    private void Change(in HostileStep step, TestMemory memory)
    {
        ulong offset = step.Offset % memory.Size & ~7UL;
        if (step.Kind == HostileStepKind.Poke)
        {
            memory.Write64(offset, step.Value);
        }
        else
        {
            memory.Write(offset, RandomBytes(step.Value, (int)Math.Min((ulong)step.Width, memory.Size - offset)));
        }

        int known = _readOnly.FindIndex(r => r.Memory == memory);
        if (known >= 0)
        {
            memory.Bytes[(int)offset..].CopyTo(_readOnly[known].Content.AsSpan((int)offset));
        }
    }

    private void Reopen()
    {
        _interrupts = null;
        List<(ulong Iova, TestMemory Memory, DmaAccess Access)> gone = _bench.Mapped;
        _bench.Close();
        gone.ForEach(map => Forget(map.Memory));
        _bench.Open();
        _options.Prepare?.Invoke(_bench, _random);
    }

    private void DropInterrupts()
    {
        _interrupts?.Dispose();
        _interrupts = null;
    }

    private static byte[] RandomBytes(ulong seed, int count)
    {
        byte[] bytes = new byte[count];
        new Random((int)(uint)seed).NextBytes(bytes);
        return bytes;
    }
}
