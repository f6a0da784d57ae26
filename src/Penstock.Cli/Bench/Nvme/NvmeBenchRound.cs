using Penstock.Devices;

namespace Penstock.Cli.Bench;

/// <summary>What one round of NVMe commands took. Times in nanoseconds.</summary>
/// <param name="PerSecond">Commands a second.</param>
/// <param name="Submitting">Time of the host for submitting and announcing a command.</param>
/// <param name="Taking">Time of the host for taking a completion that was there.</param>
/// <param name="Waiting">Time in which the host looked and found nothing, for each command.</param>
/// <param name="Allocated">Bytes allocated for each command.</param>
/// <param name="Controller">Where the time of the controller went, for the commands that it sampled.</param>
internal sealed record NvmeBenchRound(double PerSecond, double Submitting, double Taking, double Waiting, double Allocated, NvmeTimesLog Controller);
