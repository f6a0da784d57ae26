using System.Collections.Frozen;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>What machine the modelled firmware is of.</summary>
public sealed record ZpciMachine
{
    private static readonly FrozenSet<int> WithoutHypervisorMask = new[] { 2817, 2818, 2827, 2828, 2964, 2965 }.ToFrozenSet();

    /// <summary>Its type, four decimal digits.</summary>
    public int Type { get; init; } = 3931;

    /// <summary>What it can do for guests.</summary>
    public ZpciAssists Assists { get; init; } = ZpciAssists.All;

    /// <summary>Whether it accepts guests' instructions for functions: all assists are there, and handles have a software hypervisor mask.</summary>
    public bool CanInterpret => (Assists & ZpciAssists.Interpretation) == ZpciAssists.Interpretation && !WithoutHypervisorMask.Contains(Type);
}
