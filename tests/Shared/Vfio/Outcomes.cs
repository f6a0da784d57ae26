using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Tests;

/// <summary>How calls end.</summary>
internal static class Outcomes
{
    /// <summary>What a call is refused with; none when it is not.</summary>
    /// <param name="call">The call.</param>
    /// <returns>The errno of its <see cref="VfioException"/>.</returns>
    public static Errno ErrnoOf(Action call)
    {
        try
        {
            call();
            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }
}
