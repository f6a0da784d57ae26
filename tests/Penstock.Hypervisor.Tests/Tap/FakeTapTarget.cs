using System.Collections.Concurrent;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>Writes down what a tap asks for.</summary>
internal sealed class FakeTapTarget : ITapTarget
{
    public ConcurrentQueue<string> Calls { get; } = new();

    /// <summary>What refreshes answer.</summary>
    public RpcitAnswer Answer { get; set; } = RpcitAnswer.Done;

    /// <summary>Why nothing can be lent, or null.</summary>
    public string? Refusal { get; set; }

    /// <summary>What refreshes throw, or null.</summary>
    public Exception? Fault { get; set; }

    public string? Lend(RpcitPath path, IoatRegistration registration, TapChannel channel)
    {
        Calls.Enqueue($"lend {path} {registration.Iota.Value:x} {registration.Aperture.First:x} {registration.Aperture.Last:x}");
        return Refusal;
    }

    public void TakeBack() => Calls.Enqueue("take back");

    public RpcitAnswer Refresh(ulong start, ulong length)
    {
        Calls.Enqueue($"refresh {start:x} {length:x}");
        return Fault is null ? Answer : throw Fault;
    }

    public void DrainRing(uint from, uint until) => Calls.Enqueue($"drain {from} {until}");

    public void Lose()
    {
    }

    public void EndLoss()
    {
    }
}
