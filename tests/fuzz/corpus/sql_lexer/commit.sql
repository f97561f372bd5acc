 ; /* x */ -- y
 COMMIT TRANSACTION