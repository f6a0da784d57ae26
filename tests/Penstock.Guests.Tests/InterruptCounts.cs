using System.Diagnostics;
using Penstock.Devices;

namespace Penstock.Guests.Tests;

/// <summary>
/// The counts of interrupts on both sides since a moment. Inputs are watched the whole time.
/// <para>
/// Linux counts twice: for each input, and on the pin. The first is the number of changes it handled and must be what the card raised. On the
/// pin there may be more. QEMU unmasks at the guest's first access to the card, here the read of the status; the card still
/// asserts then and signals once more, as VFIO has it. Mostly QEMU takes that signal back at the acknowledgement, but when its main loop
/// comes late the guest gets an interrupt in vain. It reads the status once more and finds nothing, which this side sees.
/// </para>
/// </summary>
internal sealed class InterruptCounts
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private readonly CardBench _bench;
    private readonly LinuxCard _linux;
    private readonly long _raised;
    private readonly int _statusReads;
    private readonly int _idleStatusReads;
    private readonly long _pin;
    private readonly long[] _inputs;

    private InterruptCounts(CardBench bench, LinuxCard linux, long pin, long[] inputs)
    {
        _bench = bench;
        _linux = linux;
        _raised = bench.Card.InterruptsRaised;
        _statusReads = bench.Traffic.StatusReads;
        _idleStatusReads = bench.Traffic.IdleStatusReads;
        _pin = pin;
        _inputs = inputs;
    }

    public static async Task<InterruptCounts> StartAsync(CardBench bench, LinuxCard linux) =>
        new(bench, linux, await linux.CountPinInterruptsAsync(), await linux.CountInputInterruptsAsync());

    /// <summary>Verifies that both sides have counted the same.</summary>
    /// <returns>The count.</returns>
    public async Task<long> VerifyEqualAsync()
    {
        // An interrupt may be on its way just now: look again.
        long raised = 0;
        long[] counted = [];
        long pin = 0;
        int reads = 0;
        int idle = 0;
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < Limit;)
        {
            raised = _bench.Card.InterruptsRaised - _raised;
            counted = [.. (await _linux.CountInputInterruptsAsync()).Zip(_inputs, (now, before) => now - before)];
            pin = await _linux.CountPinInterruptsAsync() - _pin;
            reads = _bench.Traffic.StatusReads - _statusReads;
            idle = _bench.Traffic.IdleStatusReads - _idleStatusReads;
            if (pin == reads && counted.All(count => count == raised))
            {
                break;
            }
        }

        Assert.Equal(Enumerable.Repeat(raised, Idio16Function.InputCount), counted);
        Assert.Equal(pin, reads);
        Assert.Equal(raised, reads - idle);
        return raised;
    }
}
