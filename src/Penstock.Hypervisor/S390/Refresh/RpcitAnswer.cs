using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>What a guest gets to see of an RPCIT.</summary>
/// <param name="ConditionCode">Condition code.</param>
/// <param name="Status">Status in r1, with <see cref="ZpciConditionCode.Error"/>.</param>
/// <param name="Event">The error event that the guest is told of, which also puts the function in error; or none.</param>
/// <param name="Address">The address that was reached when the event arose.</param>
public readonly record struct RpcitAnswer(ZpciConditionCode ConditionCode, ZpciStatus Status, ZpciErrorEvent Event, ulong Address)
{
    /// <summary>All is refreshed.</summary>
    public static RpcitAnswer Done => default;

    /// <summary>
    /// Resources ran out, or the last one was used. The guest refreshes everything, which lets the hypervisor see what was freed.
    /// </summary>
    public static RpcitAnswer Insufficient => new(ZpciConditionCode.Error, ZpciStatus.InsufficientResources, ZpciErrorEvent.None, 0);

    /// <summary>The walk failed.</summary>
    /// <param name="fault">What failed.</param>
    /// <param name="address">Where.</param>
    /// <returns>The answer.</returns>
    public static RpcitAnswer Failed(ZpciErrorEvent fault, ulong address) =>
        new(ZpciConditionCode.Error, ZpciStatus.FunctionInError, fault, address);
}
