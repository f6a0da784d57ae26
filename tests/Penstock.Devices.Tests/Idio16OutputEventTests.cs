using System.Collections.Concurrent;

namespace Penstock.Devices.Tests;

public sealed class Idio16OutputEventTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);
    private readonly Idio16Slot _slot = new();
    private readonly BlockingCollection<(int Line, bool Value)> _seen = [];

    public void Dispose()
    {
        _slot.Dispose();
        _seen.Dispose();
    }

    [Fact]
    public void OutputChanged_ChangesOnly_InOrderAndOffTheStrand()
    {
        var onStrand = 0;
        _slot.Card.OutputChanged += (line, value) =>
        {
            onStrand += _slot.Port.Strand.IsCurrent ? 1 : 0;
            _seen.Add((line, value));
        };
        _slot.Out(0, 0b11);
        _slot.Out(0, 0b11);
        _slot.Out(4, 0x80);
        _slot.Out(0, 0b10);
        _slot.Reset();
        Assert.Equal([(0, true), (1, true), (15, true), (0, false), (1, false), (15, false)], Take(6));
        Assert.Equal(0, onStrand);
        Assert.Empty(_seen);
    }

    [Fact]
    public void OutputChanged_HandlerThatDrivesAnInput_Works()
    {
        _slot.In(2);
        _slot.Card.OutputChanged += (line, value) =>
        {
            _slot.Card.SetInput(line, value);
            _seen.Add((line, value));
        };
        _slot.Out(0, 0b100);
        Assert.Equal([(2, true)], Take(1));
        Assert.Equal(0b100, _slot.In(1));
        Assert.True(_slot.Port.Pin);
    }

    [Fact]
    public void OutputChanged_HandlerThatBlocks_NeitherHoldsUpTheGuestNorMissesTheEnd()
    {
        using var gate = new ManualResetEventSlim();
        _slot.Card.OutputChanged += (line, value) =>
        {
            gate.Wait(Patience);
            _seen.Add((line, value));
        };
        for (int i = 0; i < 5000; i++)
        {
            _slot.Out(0, (byte)(i % 2));
        }

        _slot.Out(4, 1);
        gate.Set();
        List<(int Line, bool Value)> seen = [];
        do
        {
            seen.AddRange(Take(1));
        }
        while (seen[^1] != (8, true));

        Assert.InRange(seen.Count(change => change.Line == 0), 1000, 1100);
        Assert.True(_slot.Card.GetOutput(0));
    }

    [Fact]
    public void OutputChanged_HandlerThatThrows_IsPassedOver()
    {
        _slot.Card.OutputChanged += (line, value) =>
        {
            _seen.Add((line, value));
            throw new InvalidOperationException("a handler's own fault");
        };
        _slot.Out(0, 0b11);
        Assert.Equal([(0, true), (1, true)], Take(2));
    }

    private List<(int Line, bool Value)> Take(int count)
    {
        List<(int, bool)> taken = [];
        while (taken.Count < count)
        {
            Assert.True(_seen.TryTake(out var change, Patience), $"{taken.Count} of {count} changes arrived");
            taken.Add(change);
        }

        return taken;
    }
}
