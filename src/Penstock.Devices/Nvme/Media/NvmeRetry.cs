using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>Whether a host should send a failed command again (NVM Express base specification 1.4, section 4.6.1: DNR).</summary>
internal static class NvmeRetry
{
    /// <summary>Adds <see cref="NvmeStatus.DoNotRetry"/> to a failure that the same command would meet again.</summary>
    /// <param name="status">Status without flags.</param>
    /// <returns>The status for the completion.</returns>
    public static NvmeStatus Mark(NvmeStatus status) => status switch
    {
        NvmeStatus.Success or NvmeStatus.DataTransferError or NvmeStatus.InternalError or NvmeStatus.AbortedByPowerLoss
            or NvmeStatus.AbortedByRequest or NvmeStatus.AbortedQueueDeleted or NvmeStatus.CommandInterrupted
            or NvmeStatus.NamespaceNotReady or NvmeStatus.WriteFault or NvmeStatus.UnrecoveredReadError => status,
        _ => status | NvmeStatus.DoNotRetry,
    };
}
