using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>What an instruction for the host's firmware answered.</summary>
/// <param name="ConditionCode">The condition code.</param>
/// <param name="Status">The status, with <see cref="ZpciConditionCode.Error"/>.</param>
public readonly record struct ZpciAnswer(ZpciConditionCode ConditionCode, ZpciStatus Status = ZpciStatus.None)
{
    /// <summary>Done.</summary>
    public static ZpciAnswer Done => default;

    /// <summary>What a refresh means to the IOMMU: too little memory below, or a failure.</summary>
    public Errno RefreshError => ConditionCode switch
    {
        ZpciConditionCode.Done => Errno.None,
        ZpciConditionCode.Error when Status is ZpciStatus.Aborted or ZpciStatus.InsufficientResources => Errno.ENOMEM,
        _ => Errno.EIO,
    };

    /// <summary>Whether a translation counts as registered: it is, or the function is about to be recovered or removed, which brings events of its own.</summary>
    public bool IsRegistered => ConditionCode switch
    {
        ZpciConditionCode.Done or ZpciConditionCode.InvalidHandle => true,
        ZpciConditionCode.Error => Status == ZpciStatus.ErrorRecovery,
        _ => false,
    };
}
