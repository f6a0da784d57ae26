using System.Diagnostics;
using Penstock.Hypervisor;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A way to answer RPCIT that is measured: with one RPCIT for each page, and with one for all pages of a page table.</summary>
/// <param name="Name">Name.</param>
/// <param name="Mode">The mode, registered.</param>
/// <param name="Domain">What devices translate by; null when that is in another process.</param>
/// <param name="Repeats">How often the pages are mapped and unmapped in a round.</param>
internal sealed record ZpciRpcitSubject(string Name, IRefreshMode Mode, TranslatingDomain? Domain, int Repeats)
{
    /// <summary>Pages of the larger RPCIT.</summary>
    public const int AtOnce = ZpciIoTable.PageEntries;

    /// <summary>Maps and unmaps all pages of a guest but its last page table, which stays mapped.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="count">Pages for each RPCIT.</param>
    /// <returns>Nanoseconds for a page: mapping, and unmapping.</returns>
    public (double Map, double Unmap) Measure(ZpciBenchGuest guest, int count)
    {
        int pages = guest.Pages - AtOnce;
        long map = 0;
        long unmap = 0;
        for (int i = 0; i < Repeats; i++)
        {
            long start = Stopwatch.GetTimestamp();
            for (int page = 0; page < pages; page += count)
            {
                for (int p = page; p < page + count; p++)
                {
                    guest.Set(p);
                }

                Refresh(page, count);
            }

            long middle = Stopwatch.GetTimestamp();
            for (int page = 0; page < pages; page += count)
            {
                for (int p = page; p < page + count; p++)
                {
                    guest.Clear(p);
                }

                Refresh(page, count);
            }

            map += middle - start;
            unmap += Stopwatch.GetTimestamp() - middle;
        }

        double scale = 1e9 / Stopwatch.Frequency / pages / Repeats;
        return (map * scale, unmap * scale);
    }

    public void Refresh(int page, int count)
    {
        RpcitAnswer answer = Mode.Refresh(ZpciBenchGuest.IovaOf(page), (ulong)count * ZpciBenchGuest.Page);
        if (answer != RpcitAnswer.Done)
        {
            throw new IOException($"{Name} answers an RPCIT with {answer}");
        }
    }
}
